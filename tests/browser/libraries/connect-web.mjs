// `@connectrpc/connect-web` in a page: each check throws where something is wrong.

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { contract, equal, first, holds, put } from "./contract.mjs";

/** How far ahead of every branch a revision is that nobody will write. */
const NEVER = 1_000_000n;
const DEADLINE_MS = 300;

export async function checks({ descriptors, token, repo }) {
  const { service, errorInfo } = await contract(descriptors);
  const bearer = (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const baseUrl = location.origin;
  const client = createClient(service, createGrpcWebTransport({ baseUrl, interceptors: [bearer] }));
  const nobody = createClient(service, createGrpcWebTransport({ baseUrl }));
  const branch = { repo, branch: "connect-web" };
  const isChange = (event) => event.path !== "";

  return {
    async "a unary call"() {
      const written = await client.writeDiff(put(branch, "unary", "grüße"));
      equal(written.success, true, "written");
      const read = await client.readSnapshot({ ...branch, path: "unary" });
      equal(new TextDecoder().decode(read.content), "grüße", "content");
    },

    async "a stream that ends"() {
      for (const path of ["tree/a", "tree/b"]) await client.writeDiff(put(branch, path, path));
      const paths = [];
      for await (const entry of client.readTree({ ...branch, prefix: "tree" })) {
        paths.push(entry.path);
      }
      equal(paths.join(), "tree/a,tree/b", "paths");
    },

    async "a stream that goes on is live, and ends when it is cancelled"() {
      await client.writeDiff(put(branch, "live/0", ""));
      const leave = new AbortController();
      const paths = [];
      const watched = (async () => {
        let begun = false;
        for await (const event of client.subscribeChanges(branch, { signal: leave.signal })) {
          // The first message says from where on nothing is missed.
          if (!begun) await client.writeDiff(put(branch, "live/1", ""));
          begun = true;
          if (event.path === "") continue;
          paths.push(event.path);
          leave.abort();
        }
      })();
      equal((await refused(watched)).code, Code.Canceled, "code");
      equal(paths.join(), "live/1", "paths");
    },

    async "a stream resumes where it was left"() {
      const written = await client.writeDiff(put(branch, "resumed/0", ""));
      await client.writeDiff(put(branch, "resumed/1", ""));
      const { epoch: fromEpoch, revision: fromRevision } = written;
      const leave = new AbortController();
      const events = client.subscribeChanges(
        { ...branch, fromEpoch, fromRevision },
        { signal: leave.signal },
      );
      const event = await first(events, isChange);
      // Leaving the loop alone would keep the connection.
      leave.abort();
      equal(event.path, "resumed/1", "path");
    },

    async "an error with its details"() {
      const error = await refused(client.readSnapshot({ ...branch, path: "nowhere" }));
      equal(error.code, Code.NotFound, "code");
      holds(error.rawMessage.includes("nowhere"), error.rawMessage);
      const info = error.findDetails(errorInfo)[0];
      equal(info?.reason, "NotFound", "reason");
      equal(info?.domain, "virtualdom.v1", "domain");
    },

    async "an error instead of a stream"() {
      const error = await refused(first(nobody.subscribeChanges(branch), isChange));
      equal(error.code, Code.Unauthenticated, "code");
      equal(error.findDetails(errorInfo)[0]?.reason, "Unauthenticated", "reason");
    },

    async "a deadline"() {
      const request = { ...branch, path: "unary", minRevision: NEVER };
      const error = await refused(client.readSnapshot(request, { timeoutMs: DEADLINE_MS }));
      equal(error.code, Code.DeadlineExceeded, "code");
    },

    async "a cancelled call"() {
      const leave = new AbortController();
      const request = { ...branch, path: "unary", minRevision: NEVER };
      const call = client.readSnapshot(request, { signal: leave.signal });
      leave.abort();
      equal((await refused(call)).code, Code.Canceled, "code");
    },
  };
}

async function refused(call) {
  try {
    await call;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("it was not refused");
}
