// The last changes of a branch, newest first: those that arrived, and those from before.

import type { Change } from "@vdom/sdk";

const LENGTH = 1000;

export interface FeedEntry {
  readonly change: Change;
  /** In ms of `performance.now()`; absent for what happened while nobody watched. */
  readonly arrivedMs: number | undefined;
}

export class ChangeFeed {
  entries: readonly FeedEntry[] = [];

  arrived(change: Change, nowMs: number): void {
    this.entries = [{ change, arrivedMs: nowMs }, ...this.entries.slice(0, LENGTH - 1)];
  }

  /** Adds those that are not there yet. */
  fill(changes: readonly Change[]): void {
    const known = new Set(this.entries.map(({ change }) => keyOf(change)));
    const missed = changes
      .filter((change) => !known.has(keyOf(change)))
      .map((change) => ({ change, arrivedMs: undefined }));
    this.entries = [...this.entries, ...missed]
      .sort(({ change: one }, { change: other }) =>
        one.epoch === other.epoch ? other.revision - one.revision : other.epoch - one.epoch,
      )
      .slice(0, LENGTH);
  }
}

/** Names a change among all of its branch, also across a restore. */
export function keyOf({ epoch, revision }: Change): string {
  return `${epoch}.${revision}`;
}
