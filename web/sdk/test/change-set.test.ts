// Several changes as one, reverts, kept conflicts, branches.

import { Code } from "@connectrpc/connect";
import { beforeEach, expect, test } from "vitest";
import { type Branch, connectOver, type Gateway } from "../src/index.js";
import { hex } from "../src/wire.js";
import { failure, ScriptedGateway } from "./scripted-gateway.js";

let gateway: ScriptedGateway;
let vdom: Gateway;
let main: Branch;

beforeEach(() => {
  gateway = new ScriptedGateway();
  vdom = connectOver(gateway.transport());
  main = vdom.branch("app", "main");
});

function put(path: string, text: string) {
  return { path, diff: { t: "put" as const, v: new TextEncoder().encode(text) } };
}

test("several changes are written as one, and their writer may go on from them", async () => {
  const written = await main.writeAll([put("a", "1"), put("b", "2")], { message: "why" });
  expect(written).toMatchObject({
    ok: true,
    first: { epoch: 7, revision: 1 },
    last: { epoch: 7, revision: 2 },
    results: [{ version: 1 }, { version: 1 }],
  });
  expect(gateway.sets[0]).toMatchObject({ message: "why", expectedRevision: 0n });
  expect(await main.writeAll([put("a", "one"), put("b", "two")])).toMatchObject({ ok: true });
  expect(await main.write("a", "uno")).toMatchObject({ ok: true, version: 3 });
  expect(await main.text("b")).toBe("two");
});

test("a set with a conflict writes nothing and says which change it is", async () => {
  gateway.put("a", "theirs");
  const refused = await main.writeAll([put("new", "x"), put("a", "mine")]);
  if (refused.ok) throw new Error("expected a conflict");
  expect(refused.position).toEqual({ epoch: 7, revision: 1 });
  expect(refused.conflicts).toMatchObject([null, { reason: "pathExists", id: undefined }]);
  expect(gateway.nodes.has("new")).toBe(false);

  const theirs = refused.conflicts[1]?.theirs;
  if (!theirs) throw new Error("expected a node");
  const again = await main.writeAll([put("new", "x"), { ...put("a", "mine"), seen: theirs }]);
  expect(again.ok).toBe(true);
  expect(await main.text("a")).toBe("mine");
});

test("a node that a set deletes was seen to be gone", async () => {
  await main.write("a", "1");
  await main.writeAll([{ path: "a", diff: { t: "delete" } }, put("b", "2")]);
  expect(await main.write("a", "new")).toMatchObject({ ok: true, version: 1 });
});

test("a set is repeated with the same operation id while the gateway is away", async () => {
  gateway.failures.push(failure(Code.Unavailable, "Unavailable", "draining"));
  expect(await main.writeAll([put("a", "1")])).toMatchObject({ ok: true });
  const ids = gateway.sets.map((set) => hex(set.operationId));
  expect(ids).toHaveLength(2);
  expect(ids[0]).toBe(ids[1]);
});

test("a range of changes is undone", async () => {
  gateway.put("a", "first");
  gateway.put("a", "second");
  expect(await main.revert(2, 2)).toMatchObject({ ok: true, last: { revision: 3 } });
  expect(await main.text("a")).toBe("reverted");
  await expect(main.revert(9, 9)).rejects.toMatchObject({ code: "NotFound" });
});

test("conflicts are kept, listed page by page, and resolved", async () => {
  for (const path of ["a", "b", "c"]) {
    gateway.put(path, "theirs");
    const refused = await main.write(path, "mine", { keepConflict: true });
    if (refused.ok) throw new Error("expected a conflict");
    expect(refused.id).toHaveLength(16);
  }
  const kept = await main.conflicts();
  expect(kept.map(({ refused }) => refused.path)).toEqual(["a", "b", "c"]);
  expect(kept[0]).toMatchObject({ subject: "me", conflict: { reason: "pathExists" } });
  expect(kept[0]?.refused).toMatchObject({ seen: null, diff: { t: "put" } });
  expect(await main.conflicts({ paths: ["b"] })).toHaveLength(1);

  const [a, b, c] = kept.map(({ id }) => id);
  if (!a || !b || !c) throw new Error("expected three conflicts");
  expect(await main.resolve(a, "ours")).toBeUndefined();
  expect(await main.resolve(b, "theirs")).toMatchObject({ ok: true, version: 2 });
  expect(await main.resolve(c, { content: "by hand" })).toMatchObject({ ok: true });
  const texts = await main.readAll(["a", "b", "c"]);
  expect(texts.map((snapshot) => snapshot.text())).toEqual(["theirs", "mine", "by hand"]);
  expect(await main.conflicts()).toEqual([]);
  await expect(main.resolve(a, "ours")).rejects.toMatchObject({ code: "NotFound" });
});

test("many nodes are read at once, and their reader may write them", async () => {
  gateway.put("a", "one");
  gateway.put("b", "two");
  const [b, a] = await main.readAll(["b", "a"]);
  expect([b?.text(), a?.text()]).toEqual(["two", "one"]);
  expect(await main.write("a", "mine")).toMatchObject({ ok: true, version: 2 });
  await expect(main.readAll(["a", "absent"])).rejects.toMatchObject({ code: "NotFound" });
});

test("branches come and go", async () => {
  gateway.put("a", "one");
  const topic = await vdom.createBranch("app", "topic", { branch: "main", revision: 1 });
  expect(topic).toMatchObject({ name: "topic", from: { branch: "main", revision: 1 } });
  expect((await vdom.branches("app")).map(({ name }) => name)).toEqual(["main", "topic"]);
  await vdom.deleteBranch("app", "topic");
  await expect(vdom.deleteBranch("app", "topic")).rejects.toMatchObject({ code: "NotFound" });
});
