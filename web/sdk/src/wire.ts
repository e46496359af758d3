// Conversions between wire types and the types of this client.

import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { VdomError } from "./errors.js";
import {
  type VectorClock,
  type Freshness as WireFreshness,
  NodeKind as WireKind,
  Freshness_Source as WireSource,
} from "./gen/virtualdom/v1/dom_pb.js";
import type { Clock, Freshness, NodeKind } from "./types.js";

/** A uint64 as a number; epochs and revisions stay far below 2^53. */
export function numberFrom(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    throw new VdomError("DataLoss", `${value} is no revision that this client can count to`);
  }
  return number;
}

export function dateFrom(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && new Date(Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6);
}

export function clockFrom(clock: VectorClock | undefined): Clock {
  return clock?.entries ?? {};
}

export function kindFrom(kind: WireKind): NodeKind {
  switch (kind) {
    case WireKind.INTENT:
      return "intent";
    case WireKind.META:
      return "meta";
    default:
      return "file";
  }
}

export function kindTo(kind: NodeKind | undefined): WireKind {
  switch (kind) {
    case undefined:
      return WireKind.UNSPECIFIED;
    case "file":
      return WireKind.FILE;
    case "intent":
      return WireKind.INTENT;
    case "meta":
      return WireKind.META;
  }
}

export function freshnessFrom(freshness: WireFreshness | undefined): Freshness | undefined {
  return (
    freshness && {
      ageMs: numberFrom(freshness.ageMs),
      stale: freshness.stale,
      source: freshness.source === WireSource.CACHE ? "cache" : "store",
    }
  );
}

/** Bytes as lower-case hex: how ids are written and compared. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** 16 random bytes that make a write safe to repeat. */
export function operationId(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(16));
}

/** UTF-8 bytes as text, or `undefined` when they are not UTF-8. */
export function textFrom(bytes: Uint8Array): string | undefined {
  try {
    // A byte order mark is content: it must survive a read and a write.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
