// Live, versioned documents in the browser. Start at `connect`.

export { Branch, type ResolveOptions, type RevertOptions } from "./branch.js";
export type { ConnectOptions, TokenSource } from "./channel.js";
export type { KeptConflict, Resolution } from "./conflicts.js";
export { type Diff, decodeDocument, type PatchOperation, type TextOperation } from "./diff.js";
export { ERROR_CODES, type ErrorCode, VdomError, type VdomErrorDetails } from "./errors.js";
export { connect, connectOver, Gateway } from "./gateway.js";
export { LiveTree, type LiveTreeOptions, type TreeUpdate } from "./live-tree.js";
export type { ReadOptions } from "./read.js";
export { Snapshot } from "./snapshot.js";
export type {
  BranchInfo,
  Change,
  Clock,
  Compacted,
  ConnectionState,
  EpochChanged,
  Freshness,
  NodeKind,
  Position,
  Progress,
  RepoInfo,
  Reset,
  Seen,
  Tree,
  TreeNode,
  WatchEvent,
} from "./types.js";
export type { WatchOptions } from "./watch.js";
export type {
  ChangeOptions,
  OnConflictChoice,
  SetChange,
  SetOptions,
  WriteOptions,
} from "./write.js";
export type {
  Conflict,
  Hunk,
  SetRefused,
  SetResult,
  SetWritten,
  Theirs,
  WriteResult,
  Written,
} from "./write-result.js";
