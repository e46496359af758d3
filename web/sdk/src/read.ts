// What a read says, and how its answers are put together.

import type { TreeEntry } from "./gen/virtualdom/v1/dom_pb.js";
import type { Position, TreeNode } from "./types.js";
import { clockFrom, dateFrom, kindFrom, numberFrom } from "./wire.js";

/** What an answer must at least be as of. */
export interface ReadOptions {
  /** Read as of this position instead of the latest. */
  at?: Position | undefined;
  /** Wait until this position is known there, e.g. the one of a write. */
  atLeast?: Position | undefined;
  /** How old the confirmation of the head may be; 0 confirms it now. */
  maxAgeMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** The part of a request that says as of when to read. */
export function readBounds({ at, atLeast, maxAgeMs }: ReadOptions) {
  return {
    revision: BigInt(at?.revision ?? 0),
    epoch: BigInt(at?.epoch ?? 0),
    minRevision: BigInt(atLeast?.revision ?? 0),
    minEpoch: BigInt(atLeast?.epoch ?? 0),
    ...(maxAgeMs !== undefined && { maxAgeMs: BigInt(maxAgeMs) }),
  };
}

export function treeNodeOf(entry: TreeEntry): TreeNode {
  return {
    path: entry.path,
    nodeId: entry.nodeId,
    clock: clockFrom(entry.vectorClock),
    kind: kindFrom(entry.kind),
    version: numberFrom(entry.version),
    sizeBytes: numberFrom(entry.sizeBytes),
    author: entry.author,
    time: dateFrom(entry.timestamp),
    attributes: entry.attributes,
    changedRevision: numberFrom(entry.changedRevision),
  };
}

/** Pieces of a content as one. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}
