// What a write says: of one node, or of several as one.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Diff, encodeDiff } from "./diff.js";
import { OnConflict, type WriteDiffRequestSchema } from "./gen/virtualdom/v1/dom_pb.js";
import type { NodeKind, Seen } from "./types.js";
import { kindTo } from "./wire.js";

/** What is done where a node is not as its writer had seen it. */
export type OnConflictChoice = "reject" | "merge" | "overwrite";

/** What is said of the change of one node. */
export interface ChangeOptions {
  /**
   * What the writer had seen of the node; `null`: nothing, the path must not
   * exist. Without it: what this object last read or wrote at that path.
   */
  seen?: Seen | null | undefined;
  /** What happens when that is not how the node stands. */
  onConflict?: OnConflictChoice | undefined;
  /** Of a creation. */
  kind?: NodeKind | undefined;
  message?: string | undefined;
  metadata?: Record<string, string> | undefined;
}

export interface WriteOptions extends ChangeOptions {
  /** Keeps a conflict until someone resolves it. */
  keepConflict?: boolean | undefined;
  /** Another name than the token's subject needs scope `dom.author`. */
  author?: string | undefined;
  /** 16 bytes that make the write safe to repeat; made here when absent. */
  operationId?: Uint8Array | undefined;
  signal?: AbortSignal | undefined;
}

/** One change of a set. */
export interface SetChange extends ChangeOptions {
  path: string;
  diff: Diff;
}

/** What is said of a set as a whole. */
export interface SetOptions {
  /** For changes that do not say it themselves. */
  onConflict?: OnConflictChoice | undefined;
  /** The revision that the branch must be at. */
  expectedRevision?: number | undefined;
  message?: string | undefined;
  metadata?: Record<string, string> | undefined;
  author?: string | undefined;
  operationId?: Uint8Array | undefined;
  signal?: AbortSignal | undefined;
}

/** The part of a request that says how a node changes. */
export function diffRequest(
  path: string,
  diff: Diff,
  seen: Seen | null,
  options: ChangeOptions,
): MessageInitShape<typeof WriteDiffRequestSchema> {
  return {
    path,
    nodeId: seen?.nodeId ?? new Uint8Array(),
    vectorClock: { entries: { ...seen?.clock } },
    diffBson: encodeDiff(diff),
    kind: kindTo(options.kind),
    message: options.message ?? "",
    metadata: options.metadata ?? {},
    onConflict: onConflictTo(options.onConflict),
  };
}

/** UNSPECIFIED where nothing is chosen: of a set the set decides, else it is REJECT. */
export function onConflictTo(choice: OnConflictChoice | undefined): OnConflict {
  switch (choice) {
    case undefined:
      return OnConflict.UNSPECIFIED;
    case "reject":
      return OnConflict.REJECT;
    case "merge":
      return OnConflict.MERGE;
    case "overwrite":
      return OnConflict.OVERWRITE;
  }
}
