// Diffs as BSON, and what they do to a size.

import { Binary, BSON } from "bson";
import { expect, test } from "vitest";
import { type Diff, decodeDiff, encodeDiff, sizeAfter } from "../src/diff.js";

test.each<Diff>([
  { t: "put", v: new Uint8Array([0, 1, 255]) },
  { t: "put", v: { title: "x", nested: { n: 1 } } },
  { t: "text", ops: [{ r: 3 }, { i: "äö" }, { d: 2 }] },
  { t: "patch", ops: [{ op: "replace", path: "/title", value: "y" }] },
  { t: "attr", set: { mode: "755" } },
  { t: "delete" },
  // biome-ignore lint/suspicious/noThenProperty: it is the name on the wire.
  { t: "rename", to: "b", then: { t: "put", v: new Uint8Array([7]) } },
])("%j survives the wire", (diff) => {
  const bytes = encodeDiff(diff);
  const decoded = decodeDiff(bytes);
  expect(decoded && encodeDiff(decoded)).toEqual(bytes);
  expect(decoded?.t).toBe(diff.t);
});

test("file content is BSON binary of the generic subtype", () => {
  const { v } = BSON.deserialize(encodeDiff({ t: "put", v: new Uint8Array([1, 2]) }));
  expect(v).toBeInstanceOf(Binary);
  expect(v.sub_type).toBe(0);
});

test("an unknown kind is no diff", () => {
  expect(decodeDiff(BSON.serialize({ t: "explode" }))).toBeUndefined();
});

test("sizes follow from the diff where they can", () => {
  expect(sizeAfter(undefined, { t: "put", v: new Uint8Array(5) })).toBe(5);
  expect(sizeAfter(10, { t: "text", ops: [{ r: 3 }, { i: "ä" }, { d: 4 }] })).toBe(8);
  expect(sizeAfter(10, { t: "attr", set: {} })).toBe(10);
  expect(sizeAfter(10, { t: "rename", to: "b" })).toBe(10);
  expect(sizeAfter(10, { t: "patch", ops: [] })).toBeUndefined();
});
