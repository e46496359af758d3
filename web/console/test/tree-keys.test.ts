// Moving through the tree by keyboard.

import { expect, test } from "vitest";
import { step } from "../src/tree-keys.js";
import type { Row } from "../src/tree-model.js";

const row = (path: string, depth: number, folder = false, open = false) =>
  ({ path, depth, folder, open }) as Row;

const ROWS = [
  row("docs", 0, true),
  row("src", 0, true, true),
  row("src/a", 1),
  row("src/b", 1),
  row("x", 0),
];

const press = (key: string, at: number) => {
  const { row: to, ...rest } = step(key, ROWS, at) ?? {};
  return { to: to?.path, ...rest };
};

test.each([
  ["ArrowDown", 0, { to: "src" }],
  ["ArrowDown", -1, { to: "docs" }],
  ["ArrowDown", 4, { to: "x" }],
  ["ArrowUp", 1, { to: "docs" }],
  ["ArrowUp", 0, { to: "docs" }],
  ["Home", 3, { to: "docs" }],
  ["End", 0, { to: "x" }],
  ["ArrowRight", 0, { to: "docs", open: true }],
  ["ArrowRight", 1, { to: "src/a" }],
  ["ArrowRight", 2, { to: undefined }],
  ["ArrowLeft", 1, { to: "src", open: false }],
  ["ArrowLeft", 3, { to: "src" }],
  ["ArrowLeft", 0, { to: undefined }],
  ["Enter", 2, { to: "src/a", choose: true }],
  [" ", 0, { to: "docs", choose: true }],
  ["q", 0, { to: undefined }],
])("%s at row %i", (key, at, expected) => {
  expect(press(key, at)).toEqual(expected);
});

test("no key fails in an empty tree", () => {
  for (const key of ["ArrowDown", "ArrowUp", "End", "Enter", "ArrowLeft"]) {
    expect(step(key, [], -1)).toBeUndefined();
  }
});
