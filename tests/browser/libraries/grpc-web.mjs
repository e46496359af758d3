// `grpc-web`, Google's own library, in a page: each check throws where something is wrong.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GrpcWebClientBase, MethodDescriptor, MethodType, StatusCode } from "grpc-web";
import { contract, equal, holds, put } from "./contract.mjs";

const DEADLINE_MS = 300;

export async function checks({ descriptors, token, repo }) {
  const { service } = await contract(descriptors);
  const branch = { repo, branch: "grpc-web" };
  const bearer = { authorization: `Bearer ${token}` };
  const client = (format) => new GrpcWebClientBase({ format });

  /** What each call of the library takes: URL, request, headers and method. */
  const asked = (name, fields, metadata = bearer) => {
    const { input, output, methodKind } = service.methods.find((method) => method.name === name);
    const kind = methodKind === "unary" ? MethodType.UNARY : MethodType.SERVER_STREAMING;
    const path = `/${service.typeName}/${name}`;
    const serialize = (message) => toBinary(input, message);
    const parse = (bytes) => fromBinary(output, new Uint8Array(bytes));
    const method = new MethodDescriptor(path, kind, Object, Object, serialize, parse);
    return [location.origin + path, create(input, fields), metadata, method];
  };
  const call = (name, fields, { format = "text", metadata } = {}) =>
    client(format).unaryCall(...asked(name, fields, metadata));
  const stream = (name, fields, metadata) =>
    client("text").serverStreaming(...asked(name, fields, metadata));

  const unary = (format) => async () => {
    const written = await call("WriteDiff", put(branch, format, "grüße"), { format });
    equal(written.success, true, "written");
    const read = await call("ReadSnapshot", { ...branch, path: format }, { format });
    equal(new TextDecoder().decode(read.content), "grüße", "content");
  };

  return {
    "a unary call in binary": unary("binary"),
    "a unary call in text": unary("text"),

    async "a stream that ends"() {
      for (const path of ["tree/a", "tree/b"]) await call("WriteDiff", put(branch, path, path));
      const entries = stream("ReadTree", { ...branch, prefix: "tree" });
      const paths = [];
      const status = await new Promise((resolve, reject) => {
        entries.on("data", (entry) => paths.push(entry.path));
        entries.on("error", reject);
        entries.on("status", resolve);
      });
      equal(status.code, StatusCode.OK, "status");
      equal(paths.join(), "tree/a,tree/b", "paths");
    },

    async "a stream that goes on is live, and ends when it is cancelled"() {
      await call("WriteDiff", put(branch, "live/0", ""));
      const events = stream("SubscribeChanges", branch);
      let written;
      const path = await new Promise((resolve, reject) => {
        events.on("error", reject);
        events.on("data", (event) => {
          // The first message says from where on nothing is missed.
          written ??= call("WriteDiff", put(branch, "live/1", "")).catch(reject);
          if (event.path !== "") resolve(event.path);
        });
      });
      events.cancel();
      equal((await written).success, true, "written");
      equal(path, "live/1", "path");
    },

    async "an error with its details"() {
      const error = await refused(call("ReadSnapshot", { ...branch, path: "nowhere" }));
      equal(error.code, StatusCode.NOT_FOUND, "code");
      holds(error.message.includes("nowhere"), error.message);
      const details = atob(error.metadata["grpc-status-details-bin"]);
      holds(details.includes("google.rpc.ErrorInfo") && details.includes("NotFound"), details);
    },

    async "an error instead of a stream"() {
      const events = stream("SubscribeChanges", branch, {});
      const error = await new Promise((resolve, reject) => {
        events.on("data", () => reject(new Error("it was not refused")));
        events.on("error", resolve);
      });
      equal(error.code, StatusCode.UNAUTHENTICATED, "code");
    },

    async "a deadline, which the server keeps"() {
      const deadline = String(Date.now() + DEADLINE_MS);
      const events = stream("SubscribeChanges", branch, { ...bearer, deadline });
      const error = await new Promise((resolve) => events.on("error", resolve));
      equal(error.code, StatusCode.DEADLINE_EXCEEDED, "code");
    },
  };
}

async function refused(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("it was not refused");
}
