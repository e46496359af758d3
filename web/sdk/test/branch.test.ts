// Reading and writing: clocks, conflicts, repetition, large content, errors.

import { Code, ConnectError } from "@connectrpc/connect";
import { beforeEach, expect, test } from "vitest";
import { type Branch, connectOver, type ErrorCode, VdomError } from "../src/index.js";
import { hex } from "../src/wire.js";
import { failure, ScriptedGateway } from "./scripted-gateway.js";

let gateway: ScriptedGateway;
let main: Branch;

beforeEach(() => {
  gateway = new ScriptedGateway();
  main = connectOver(gateway.transport()).branch("app", "main");
});

async function codeOf(call: Promise<unknown>): Promise<ErrorCode | undefined> {
  return await call.then(
    () => undefined,
    (thrown) => (thrown as VdomError).code,
  );
}

test("a first write creates, and the writer may go on from it", async () => {
  const created = await main.write("src/a.txt", "one");
  expect(created).toMatchObject({ ok: true, version: 1, position: { epoch: 7, revision: 1 } });
  expect(await main.write("src/a.txt", "two")).toMatchObject({ ok: true, version: 2 });
  expect(await main.text("src/a.txt")).toBe("two");
});

test("a write after a read carries the clock that was read", async () => {
  gateway.put("a", "theirs");
  expect(await main.text("a")).toBe("theirs");
  expect(await main.write("a", "mine")).toMatchObject({ ok: true, version: 2 });
});

test("a write to a path never seen is a creation, and conflicts where something stands", async () => {
  gateway.put("a", "theirs");
  const answer = await main.write("a", "mine");
  expect(answer).toMatchObject({ ok: false, reason: "pathExists" });
  expect(await main.text("a")).toBe("theirs");
});

test("a conflict shows what stands there, and its writer may overwrite knowingly", async () => {
  gateway.put("a", "base");
  await main.read("a");
  gateway.put("a", "theirs");
  const answer = await main.write("a", "mine");
  if (answer.ok || !answer.theirs) throw new Error("expected a conflict with a node");
  expect(answer.reason).toBe("staleClock");
  expect(new TextDecoder().decode(answer.theirs.content)).toBe("theirs");
  // Seeing the conflict is not seeing the node: the same write conflicts again.
  expect((await main.write("a", "mine")).ok).toBe(false);
  expect((await main.write("a", "mine", { seen: answer.theirs })).ok).toBe(true);
  expect(await main.text("a")).toBe("mine");
});

test("a node deleted meanwhile is a conflict without their side", async () => {
  gateway.put("a", "base");
  await main.read("a");
  gateway.delete("a");
  const answer = await main.write("a", "mine");
  expect(answer).toMatchObject({ ok: false, reason: "deleted", theirs: null });
  expect(await main.write("a", "mine", { seen: null })).toMatchObject({ ok: true, version: 1 });
});

test("a write is repeated with the same operation id while the gateway is away", async () => {
  gateway.failures.push(failure(Code.Unavailable, "Unavailable", "draining"));
  expect((await main.write("a", "one")).ok).toBe(true);
  const [first, second] = gateway.writes.map((write) => hex(write.operationId));
  expect(gateway.writes).toHaveLength(2);
  expect(first).toHaveLength(32);
  expect(second).toBe(first);
});

test("other failures are not repeated", async () => {
  gateway.failures.push(failure(Code.PermissionDenied, "PermissionDenied", "no"));
  expect(await codeOf(main.write("a", "one"))).toBe("PermissionDenied");
  expect(gateway.writes).toHaveLength(1);
});

test("an error says code, resource and request id", async () => {
  const error = await main.read("absent").catch((thrown) => thrown);
  expect(error).toBeInstanceOf(VdomError);
  expect(error).toMatchObject({
    code: "NotFound",
    message: "there is no node absent",
    details: { resource: "absent", requestId: "request-1" },
  });
});

test("a connection that breaks without a word is Unavailable, and repeated", async () => {
  gateway.put("a", "x");
  gateway.failures.push(new ConnectError("Failed to fetch", Code.Unknown));
  expect(await main.text("a")).toBe("x");
});

test("what is no failure of a call is not taken for one", () => {
  expect(VdomError.from(new TypeError("x is not a function"))).toMatchObject({
    code: "Internal",
    message: "x is not a function",
  });
});

test("content above the limit of a message comes as a stream", async () => {
  gateway.put("big", "0123456789");
  gateway.unaryLimitBytes = 4;
  expect(await main.text("big")).toBe("0123456789");
});

test("a byte order mark is content", async () => {
  gateway.put("bom", "\uFEFFx");
  expect(await main.text("bom")).toBe("\uFEFFx");
});

test("text of bytes that are not UTF-8 is refused", async () => {
  gateway.put("bin", "x");
  const node = gateway.nodes.get("bin");
  if (node) node.content = Uint8Array.of(0xff, 0xfe);
  expect(await codeOf(main.text("bin"))).toBe("FailedPrecondition");
  expect((await main.read("bin")).content).toEqual(Uint8Array.of(0xff, 0xfe));
});

test("contents come in one stream, what is too large for it by itself", async () => {
  gateway.put("src/a", "small");
  gateway.put("src/b", "larger than the limit");
  gateway.put("other", "x");
  gateway.treeContentLimitBytes = 10;
  const read: Record<string, string> = {};
  for await (const { node, content } of main.contents("src")) {
    read[node.path] = new TextDecoder().decode(content);
  }
  expect(read).toEqual({ "src/a": "small", "src/b": "larger than the limit" });
});

test("an empty tree is as of the head", async () => {
  gateway.put("a", "x");
  gateway.delete("a");
  expect(await main.tree()).toEqual({ nodes: [], position: { epoch: 7, revision: 2 } });
});

test("the head of a branch that does not exist is NotFound", async () => {
  const other = connectOver(gateway.transport()).branch("app", "other");
  expect(await codeOf(other.head())).toBe("NotFound");
});
