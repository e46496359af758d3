// Watching across broken connections, and trees that stay current.

import { Code } from "@connectrpc/connect";
import { beforeEach, expect, test } from "vitest";
import { ChangeEvent_Type as Type } from "../src/gen/virtualdom/v1/dom_pb.js";
import {
  type Branch,
  type ConnectionState,
  connectOver,
  type TreeUpdate,
  type WatchEvent,
} from "../src/index.js";
import { EPOCH, failure, ScriptedGateway, type StreamScript } from "./scripted-gateway.js";

const QUICK = { minMs: 1, maxMs: 2 };

let gateway: ScriptedGateway;
let main: Branch;

beforeEach(() => {
  gateway = new ScriptedGateway();
  main = connectOver(gateway.transport()).branch("app", "main");
});

/** The first `count` events that match. */
async function take<T>(
  events: AsyncIterable<T>,
  count: number,
  matches: (event: T) => boolean = () => true,
): Promise<T[]> {
  const taken: T[] = [];
  for await (const event of events) {
    if (matches(event)) taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}

const isChange = (event: WatchEvent) => "path" in event;
const summary = (events: WatchEvent[]) =>
  events.map((event) =>
    "path" in event ? `${event.revision} ${event.type} ${event.path}` : event.type,
  );

function script(events: Parameters<ScriptedGateway["append"]>, error?: Error): StreamScript {
  return async function* () {
    for (const event of events) yield { epoch: EPOCH, ...event };
    if (error) throw error;
  };
}

const LOST = failure(Code.Unavailable, "Unavailable", "connection lost");
const setOf = (index: number, size: number) => ({ id: Uint8Array.of(1), index, size });

test("a watch goes on after a lost connection, without gap or repetition", async () => {
  for (const path of ["a", "b", "c"]) gateway.put(path, path);
  gateway.scripts.push(script(gateway.log.slice(0, 2), LOST));
  const states: ConnectionState["state"][] = [];
  const events = await take(
    main.watch({
      from: { epoch: 7, revision: 0 },
      backoff: QUICK,
      onConnection: ({ state }) => states.push(state),
    }),
    3,
    isChange,
  );
  expect(summary(events)).toEqual(["1 create a", "2 create b", "3 create c"]);
  expect(gateway.subscriptions.map((it) => it.fromRevision)).toEqual([0n, 2n]);
  expect(states).toEqual(["connecting", "live", "waiting", "connecting", "live"]);
});

test("a change set cut in its middle is shown once, and whole", async () => {
  gateway.append(
    { type: Type.CREATE, path: "a" },
    { type: Type.CREATE, path: "b", changeSet: setOf(0, 2) },
    { type: Type.CREATE, path: "c", changeSet: setOf(1, 2) },
  );
  gateway.scripts.push(script(gateway.log.slice(0, 2), LOST));
  const events = await take(
    main.watch({ from: { epoch: 7, revision: 0 }, backoff: QUICK }),
    3,
    isChange,
  );
  expect(summary(events)).toEqual(["1 create a", "2 create b", "3 create c"]);
  expect(gateway.subscriptions.map((it) => it.fromRevision)).toEqual([0n, 1n]);
  const resumes = events.map((event) => ("resume" in event ? event.resume?.revision : undefined));
  expect(resumes).toEqual([1, undefined, 3]);
});

test("a filtered change set is complete once something after it arrives", async () => {
  gateway.scripts.push(
    script([
      { type: Type.UPDATE, path: "lib/a", revision: 5n, changeSet: setOf(0, 3) },
      { type: Type.PROGRESS, revision: 7n },
    ]),
  );
  const events = await take(main.watch({ paths: ["lib"], from: { epoch: 7, revision: 4 } }), 2);
  expect(events[0]).toMatchObject({ path: "lib/a", revision: 5, resume: { revision: 7 } });
  expect(events[1]).toMatchObject({ type: "progress", position: { revision: 7 } });
});

test("a progress event is a resume point too", async () => {
  gateway.scripts.push(
    script([{ type: Type.PROGRESS, revision: 40n, hash: Uint8Array.of(9) }], LOST),
  );
  await take(main.watch({ backoff: QUICK }), 2);
  expect(gateway.subscriptions[1]).toMatchObject({
    fromEpoch: 7n,
    fromRevision: 40n,
    fromHash: Uint8Array.of(9),
  });
});

test("a compacted log and a new epoch end the watch with an event", async () => {
  gateway.scripts.push(
    script([], failure(Code.OutOfRange, "Compacted", "gone", { oldest_revision: "12" })),
    script([], failure(Code.FailedPrecondition, "EpochChanged", "restored", { epoch: "8" })),
  );
  const from = { epoch: 7, revision: 3 };
  expect(await take(main.watch({ from }), 2)).toEqual([
    { type: "compacted", message: "gone", oldestRevision: 12 },
  ]);
  expect(await take(main.watch({ from }), 2)).toEqual([
    { type: "epochChanged", message: "restored", epoch: 8 },
  ]);
});

test("a right taken away ends the watch with an error", async () => {
  gateway.scripts.push(script([], failure(Code.PermissionDenied, "PermissionDenied", "revoked")));
  await expect(take(main.watch(), 1)).rejects.toMatchObject({ code: "PermissionDenied" });
});

test("a silent connection is given up and opened again", async () => {
  gateway.scripts.push(async function* () {
    await new Promise(() => {});
    yield {};
  });
  gateway.put("a", "x");
  const events = await take(
    main.watch({ from: { epoch: 7, revision: 0 }, backoff: QUICK, silenceMs: 20 }),
    1,
    isChange,
  );
  expect(summary(events)).toEqual(["1 create a"]);
});

test("a reader may take its time", async () => {
  gateway.put("a", "1");
  gateway.put("b", "2");
  const seen: string[] = [];
  for await (const event of main.watch({ from: { epoch: 7, revision: 0 }, silenceMs: 20 })) {
    if (!("path" in event)) continue;
    seen.push(event.path);
    if (seen.length === 2) break;
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  expect(seen).toEqual(["a", "b"]);
  expect(gateway.subscriptions).toHaveLength(1);
});

test("an aborted watch ends", async () => {
  const stop = new AbortController();
  const events: WatchEvent[] = [];
  for await (const event of main.watch({ signal: stop.signal })) {
    events.push(event);
    stop.abort();
  }
  expect(summary(events)).toEqual(["progress"]);
});

test("a live tree misses no change made while it was read", async () => {
  gateway.put("src/a", "1");
  gateway.afterTree = () => {
    gateway.afterTree = () => {};
    gateway.put("src/b", "2");
    gateway.put("other", "3");
  };
  const tree = main.liveTree("src");
  const updates = await take(tree, 2, (it: TreeUpdate) => it.type !== "progress");
  expect(updates[0]).toMatchObject({ type: "read", position: { revision: 1 } });
  expect(updates[1]).toMatchObject({ type: "change", change: { path: "src/b" } });
  expect([...tree.nodes.keys()]).toEqual(["src/a", "src/b"]);
});

test("a live tree that starts empty follows from the head", async () => {
  gateway.put("gone", "1");
  gateway.delete("gone");
  const tree = main.liveTree();
  const updates: TreeUpdate["type"][] = [];
  for await (const update of tree) {
    updates.push(update.type);
    if (update.type === "read") gateway.put("first", "x");
    if (update.type === "change") break;
  }
  expect([...tree.nodes.keys()]).toEqual(["first"]);
});

test("two nodes that swap their paths in one change set both stay", async () => {
  gateway.put("a", "1");
  gateway.put("b", "2");
  const [one, two] = [gateway.idOf("a"), gateway.idOf("b")];
  const tree = main.liveTree();
  let changes = 0;
  for await (const update of tree) {
    if (update.type === "read") {
      gateway.append(
        { type: Type.RENAME, nodeId: one, oldPath: "a", path: "b", changeSet: setOf(0, 2) },
        { type: Type.RENAME, nodeId: two, oldPath: "b", path: "a", changeSet: setOf(1, 2) },
      );
    }
    if (update.type === "change") changes += 1;
    if (changes === 2) break;
  }
  expect(tree.nodes.get("a")?.nodeId).toEqual(two);
  expect(tree.nodes.get("b")?.nodeId).toEqual(one);
});

test("a node renamed out of the prefix leaves the tree, one renamed into it enters", async () => {
  gateway.put("src/a", "1");
  gateway.put("b", "2");
  const [one, two] = [gateway.idOf("src/a"), gateway.idOf("b")];
  const tree = main.liveTree("src");
  let changes = 0;
  for await (const update of tree) {
    if (update.type === "read") {
      gateway.append(
        { type: Type.RENAME, nodeId: one, oldPath: "src/a", path: "a" },
        { type: Type.RENAME, nodeId: two, oldPath: "b", path: "src/b" },
      );
    }
    if (update.type === "change") changes += 1;
    if (changes === 2) break;
  }
  expect([...tree.nodes.keys()]).toEqual(["src/b"]);
});

test("a live tree is read again when its log was compacted", async () => {
  gateway.put("a", "1");
  gateway.scripts.push(script([], failure(Code.OutOfRange, "Compacted", "gone")));
  const reads = await take(main.liveTree(), 2, (it: TreeUpdate) => it.type === "read");
  expect(reads).toHaveLength(2);
});
