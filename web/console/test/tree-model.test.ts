// The rows of the tree: folders, order, filter, what lights up.

import type { TreeNode } from "@vdom/sdk";
import { expect, test } from "vitest";
import { FLASH_MS, TreeModel } from "../src/tree-model.js";

function node(path: string): TreeNode {
  return {
    path,
    nodeId: new TextEncoder().encode(path),
    clock: {},
    kind: "file",
    version: 1,
    sizeBytes: 0,
    author: "someone",
    time: undefined,
    attributes: {},
    changedRevision: 1,
  };
}

function modelOf(...paths: string[]): TreeModel {
  const model = new TreeModel();
  model.replace(paths.map(node));
  return model;
}

const shown = (model: TreeModel, filter = "") =>
  model.rows(filter, 0).map(({ depth, name }) => "  ".repeat(depth) + name);

test("folders come first, closed, and names sort as people count", () => {
  const model = modelOf("z10", "z9", "src/b", "docs/a");
  expect(shown(model)).toEqual(["docs", "src", "z9", "z10"]);
  model.setOpen("src", true);
  expect(shown(model)).toEqual(["docs", "src", "  b", "z9", "z10"]);
});

test("a single top folder is open from the start", () => {
  expect(shown(modelOf("app/a", "app/b"))).toEqual(["app", "  a", "  b"]);
});

test("a link opens every folder above its node", () => {
  const model = modelOf("a/b/c/d", "x");
  model.reveal("a/b/c/d");
  expect(shown(model)).toEqual(["a", "  b", "    c", "      d", "x"]);
});

test("a path may be a node and a folder at once", () => {
  const model = modelOf("lib", "lib/a", "x");
  const [lib] = model.rows("", 0);
  expect(lib).toMatchObject({ path: "lib", folder: true, nodes: 2, node: { path: "lib" } });
  model.set("lib/a", undefined);
  expect(model.rows("", 0)[0]).toMatchObject({ path: "lib", folder: false, nodes: 1 });
});

test("a folder goes with its last node, and counts follow", () => {
  const model = modelOf("a/b/c", "a/d", "x");
  model.set("a/b/c", undefined);
  expect(model.rows("", 0)[0]).toMatchObject({ path: "a", nodes: 1 });
  model.set("a/d", undefined);
  expect(shown(model)).toEqual(["x"]);
  expect(model.size).toBe(1);
});

test("the filter finds paths that have all its words", () => {
  const model = modelOf("src/dom/Read.rs", "src/dom/write.rs", "docs/read.md");
  expect(shown(model, "read src")).toEqual(["src/dom/Read.rs"]);
});

test("a change lights up its row, or the closed folder that hides it, for a moment", () => {
  const model = modelOf("a/b", "x");
  model.flash("a/b", 7, 1_000);
  const flashes = (now: number) => model.rows("", now).map((row) => [row.path, row.flash]);
  expect(flashes(1_001)).toEqual([
    ["a", 7],
    ["x", undefined],
  ]);
  model.setOpen("a", true);
  expect(flashes(1_001)).toEqual([
    ["a", undefined],
    ["a/b", 7],
    ["x", undefined],
  ]);
  expect(flashes(1_000 + FLASH_MS)[1]).toEqual(["a/b", undefined]);
});

test("a deletion lights up the folder that held the node", () => {
  const model = modelOf("a/b", "a/c", "x");
  model.set("a/b", undefined);
  model.flash("a/b", 7, 0);
  expect(model.rows("", 1)[0]).toMatchObject({ path: "a", flash: 7 });
});

test("what was open stays open when the tree is read anew", () => {
  const model = modelOf("a/b", "x");
  model.setOpen("a", true);
  model.replace(["a/c", "x"].map(node));
  expect(shown(model)).toEqual(["a", "  c", "x"]);
});
