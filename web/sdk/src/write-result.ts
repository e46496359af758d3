// What became of a write: it is in the log, or two writers disagree.

import { VdomError } from "./errors.js";
import {
  type ConflictInfo,
  ConflictInfo_Reason as Reason,
  type WriteDiffResponse,
  type WriteDiffsResponse,
} from "./gen/virtualdom/v1/dom_pb.js";
import type { NodeKind, Position, Seen } from "./types.js";
import { clockFrom, dateFrom, kindFrom, numberFrom } from "./wire.js";

/** The write was accepted. It is also what its writer has now seen of the node. */
export interface Written extends Seen {
  readonly ok: true;
  readonly version: number;
  readonly position: Position;
  /** True when a three-way merge was written: read the node to see it. */
  readonly merged: boolean;
  readonly time: Date | undefined;
  readonly operationId: Uint8Array;
}

/** What stands where the write was refused. */
export interface Theirs extends Seen {
  readonly path: string;
  readonly kind: NodeKind;
  readonly version: number;
  /** `undefined` above 1 MiB: read the node. */
  readonly content: Uint8Array | undefined;
  readonly author: string;
  readonly time: Date | undefined;
}

/** A part that cannot be merged: byte ranges of each side, or a field of a document. */
export interface Hunk {
  readonly base: readonly [start: number, length: number];
  readonly theirs: readonly [start: number, length: number];
  readonly ours: readonly [start: number, length: number];
  readonly field: string | undefined;
}

/** Nothing was written. Write again with `seen: conflict.theirs` to overwrite knowingly. */
export interface Conflict {
  readonly ok: false;
  readonly reason: "staleClock" | "pathExists" | "deleted" | "targetExists" | "merge";
  /** `null` when the node was deleted: to write it again is to create it. */
  readonly theirs: Theirs | null;
  /** What the writer had seen; `undefined` where it is no longer kept. */
  readonly base: Uint8Array | undefined;
  readonly hunks: readonly Hunk[];
  /** The head that the refusal rests on. */
  readonly position: Position;
  /** Under which it was kept, where that was asked for. */
  readonly id: Uint8Array | undefined;
}

export type WriteResult = Written | Conflict;

/** All changes of a set were accepted. */
export interface SetWritten {
  readonly ok: true;
  /** Of its first change. */
  readonly first: Position;
  /** Of its last change. */
  readonly last: Position;
  /** One for each change, in order; none where they would be too many for an answer. */
  readonly results: readonly Written[];
  readonly time: Date | undefined;
  readonly operationId: Uint8Array;
}

/** None of a set was written. */
export interface SetRefused {
  readonly ok: false;
  /** One for each change, in order; `null` where it alone would have been accepted. */
  readonly conflicts: readonly (Conflict | null)[];
  /** The head that the refusal rests on. */
  readonly position: Position;
}

export type SetResult = SetWritten | SetRefused;

/** What became of a write; `what` names it where the answer cannot be read. */
export function writeResultFrom(response: WriteDiffResponse, what: string): WriteResult {
  if (response.success) return writtenFrom(response);
  if (!response.conflict) {
    throw new VdomError("Internal", `the write to ${what} was refused without a reason`);
  }
  return conflictFrom(response.conflict);
}

export function setResultFrom(response: WriteDiffsResponse): SetResult {
  const at = (revision: bigint): Position => ({
    epoch: numberFrom(response.epoch),
    revision: numberFrom(revision),
  });
  if (!response.success) {
    return {
      ok: false,
      conflicts: response.results.map(({ conflict }) => (conflict ? conflictFrom(conflict) : null)),
      position: at(response.lastRevision),
    };
  }
  return {
    ok: true,
    first: at(response.firstRevision),
    last: at(response.lastRevision),
    results: response.results.map(writtenFrom),
    time: dateFrom(response.timestamp),
    operationId: response.operationId,
  };
}

function writtenFrom(response: WriteDiffResponse): Written {
  return {
    ok: true,
    nodeId: response.nodeId,
    clock: clockFrom(response.vectorClock),
    version: numberFrom(response.newVersion),
    position: { epoch: numberFrom(response.epoch), revision: numberFrom(response.revision) },
    merged: response.merged,
    time: dateFrom(response.timestamp),
    operationId: response.operationId,
  };
}

export function conflictFrom(info: ConflictInfo): Conflict {
  return {
    ok: false,
    reason: reasonFrom(info.reason),
    theirs:
      info.reason === Reason.DELETED
        ? null
        : {
            nodeId: info.nodeId,
            clock: clockFrom(info.currentClock),
            path: info.path,
            kind: kindFrom(info.kind),
            version: numberFrom(info.currentVersion),
            content: info.contentOmitted ? undefined : info.currentContent,
            author: info.currentAuthor,
            time: dateFrom(info.currentTimestamp),
          },
    base: info.baseMissing ? undefined : info.baseContent,
    hunks: info.hunks.map((hunk) => ({
      base: [numberFrom(hunk.baseStart), numberFrom(hunk.baseLength)],
      theirs: [numberFrom(hunk.currentStart), numberFrom(hunk.currentLength)],
      ours: [numberFrom(hunk.proposedStart), numberFrom(hunk.proposedLength)],
      field: hunk.field || undefined,
    })),
    position: { epoch: numberFrom(info.epoch), revision: numberFrom(info.revision) },
    id: info.conflictId.byteLength > 0 ? info.conflictId : undefined,
  };
}

function reasonFrom(reason: Reason): Conflict["reason"] {
  switch (reason) {
    case Reason.PATH_EXISTS:
      return "pathExists";
    case Reason.DELETED:
      return "deleted";
    case Reason.TARGET_EXISTS:
      return "targetExists";
    case Reason.MERGE:
      return "merge";
    default:
      return "staleClock";
  }
}
