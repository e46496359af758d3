// The nouns of this client: positions, nodes, changes.

import type { Diff } from "./diff.js";

/** Bytes (`file`) or a BSON document (`intent`, `meta`). */
export type NodeKind = "file" | "intent" | "meta";

/** Actor to number of its changes that were seen. Opaque: pass it on, do not compute with it. */
export type Clock = Readonly<Record<string, bigint>>;

/** A place in a branch's log. The `hash`, where known, lets the server prove that it is the same log. */
export interface Position {
  readonly epoch: number;
  readonly revision: number;
  readonly hash?: Uint8Array | undefined;
}

/** What a writer has seen of a node: enough to write it again. */
export interface Seen {
  readonly nodeId: Uint8Array;
  readonly clock: Clock;
}

/** How current an answer is. */
export interface Freshness {
  /** Milliseconds since the branch's head was last confirmed. */
  readonly ageMs: number;
  /** The head cannot be confirmed now. */
  readonly stale: boolean;
  readonly source: "store" | "cache";
}

/** A node of a tree, without its content. */
export interface TreeNode extends Seen {
  readonly path: string;
  readonly kind: NodeKind;
  /** How many changes the node has had. */
  readonly version: number;
  /** `undefined` after a change whose effect on the size is not known here. */
  readonly sizeBytes: number | undefined;
  readonly author: string;
  readonly time: Date | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  /** The revision at which the node last changed. */
  readonly changedRevision: number;
}

/** A subtree as of one position. */
export interface Tree {
  readonly position: Position;
  readonly nodes: readonly TreeNode[];
}

/** One accepted change. */
export interface Change {
  readonly type: "create" | "update" | "delete" | "rename";
  readonly path: string;
  /** Of a rename. */
  readonly oldPath: string | undefined;
  readonly nodeId: Uint8Array;
  readonly kind: NodeKind;
  readonly version: number;
  readonly clock: Clock;
  readonly epoch: number;
  readonly revision: number;
  readonly author: string;
  readonly actor: string;
  readonly message: string;
  readonly time: Date | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** With `includeDiffs`, for a diff up to 1 MiB. */
  readonly diff: Diff | undefined;
  /** The change set that it belongs to. */
  readonly changeSet:
    | { readonly id: string; readonly index: number; readonly size: number }
    | undefined;
  /** Where a watch may resume; absent inside a change set, which is all or nothing. */
  readonly resume: Position | undefined;
}

/** Everything up to `position` was delivered. */
export interface Progress {
  readonly type: "progress";
  readonly position: Position;
  readonly freshness: Freshness | undefined;
}

/** The branch's log is another incarnation, as after a restore. */
export interface EpochChanged {
  readonly type: "epochChanged";
  readonly message: string;
  /** The branch's epoch now, where the server said. */
  readonly epoch: number | undefined;
}

/** What the watch should resume from is no longer kept. */
export interface Compacted {
  readonly type: "compacted";
  readonly message: string;
  /** The oldest revision still kept, where the server said. */
  readonly oldestRevision: number | undefined;
}

/**
 * The log cannot be followed from where the watch stood: read again, then watch
 * from what was read. It is the last event of its watch.
 */
export type Reset = EpochChanged | Compacted;

export type WatchEvent = Change | Progress | Reset;

/** Whether a watch is being served now. */
export type ConnectionState =
  | { readonly state: "connecting"; readonly attempt: number }
  | { readonly state: "live" }
  | {
      readonly state: "waiting";
      readonly attempt: number;
      readonly retryInMs: number;
      readonly reason: string;
    };

export interface RepoInfo {
  readonly name: string;
  readonly branches: number;
}

export interface BranchInfo {
  readonly name: string;
  readonly head: Position;
  /** Where it was created from another branch. */
  readonly from: { readonly branch: string; readonly revision: number } | undefined;
}
