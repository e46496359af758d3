// Conflicts that were kept until someone resolves them.

import { type Diff, decodeDiff } from "./diff.js";
import { VdomError } from "./errors.js";
import {
  type StoredConflict as WireConflict,
  ResolveConflictRequest_Resolution as WireResolution,
} from "./gen/virtualdom/v1/dom_pb.js";
import type { Seen } from "./types.js";
import { clockFrom, dateFrom } from "./wire.js";
import { type Conflict, conflictFrom } from "./write-result.js";

/** A refused write that was kept. */
export interface KeptConflict {
  readonly id: Uint8Array;
  readonly conflict: Conflict;
  /** What was refused. */
  readonly refused: {
    readonly path: string;
    /** `undefined` where it is too large to be listed, or of an unknown kind. */
    readonly diff: Diff | undefined;
    /** What its writer had seen; `null`: nothing. */
    readonly seen: Seen | null;
    readonly author: string;
    readonly message: string;
  };
  /** Who was refused. */
  readonly subject: string;
  readonly time: Date | undefined;
}

/** How a conflict ends: what stands stays, what was refused is applied, both merge, or this content. */
export type Resolution = "ours" | "theirs" | "merge" | { readonly content: string | Uint8Array };

export function keptConflictFrom(kept: WireConflict): KeptConflict {
  const { conflict, request } = kept;
  if (!conflict || !request) {
    throw new VdomError("Internal", "a conflict was listed without what it is about");
  }
  return {
    id: kept.conflictId,
    conflict: conflictFrom(conflict),
    refused: {
      path: request.path || conflict.path,
      diff: request.diffBson.byteLength > 0 ? decodeDiff(request.diffBson) : undefined,
      seen:
        request.nodeId.byteLength > 0
          ? { nodeId: request.nodeId, clock: clockFrom(request.vectorClock) }
          : null,
      author: request.author,
      message: request.message,
    },
    subject: kept.subject,
    time: dateFrom(kept.timestamp),
  };
}

export function resolutionTo(resolution: Resolution): {
  resolution: WireResolution;
  content?: Uint8Array;
} {
  switch (resolution) {
    case "ours":
      return { resolution: WireResolution.OURS };
    case "theirs":
      return { resolution: WireResolution.THEIRS };
    case "merge":
      return { resolution: WireResolution.MERGE };
    default: {
      const { content } = resolution;
      return {
        resolution: WireResolution.MANUAL,
        content: typeof content === "string" ? new TextEncoder().encode(content) : content,
      };
    }
  }
}
