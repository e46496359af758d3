// The feed: newest first, each change once, also after a gap or a restore.

import type { Change } from "@vdom/sdk";
import { expect, test } from "vitest";
import { ChangeFeed } from "../src/change-feed.js";

const change = (revision: number, epoch = 1) => ({ epoch, revision }) as Change;
const shown = (feed: ChangeFeed) =>
  feed.entries.map(({ change: { epoch, revision }, arrivedMs }) => [epoch, revision, arrivedMs]);

test("what arrives stands first, what was before follows once", () => {
  const feed = new ChangeFeed();
  feed.arrived(change(3), 30);
  feed.fill([change(3), change(2), change(1)]);
  feed.arrived(change(4), 40);
  expect(shown(feed)).toEqual([
    [1, 4, 40],
    [1, 3, 30],
    [1, 2, undefined],
    [1, 1, undefined],
  ]);
});

test("what was missed is put where it belongs", () => {
  const feed = new ChangeFeed();
  feed.arrived(change(1), 10);
  feed.arrived(change(4), 40);
  feed.fill([change(4), change(3), change(2), change(1)]);
  expect(shown(feed).map(([, revision]) => revision)).toEqual([4, 3, 2, 1]);
});

test("a new epoch stands above all of the old one", () => {
  const feed = new ChangeFeed();
  feed.arrived(change(9, 1), 90);
  feed.arrived(change(5, 2), 91);
  feed.fill([change(4, 2)]);
  expect(shown(feed).map(([epoch, revision]) => [epoch, revision])).toEqual([
    [2, 5],
    [2, 4],
    [1, 9],
  ]);
});
