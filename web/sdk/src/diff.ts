// Diffs: BSON documents that say how a node changes. `t` names the kind.

import { Binary, BSON, type Document } from "bson";
import { VdomError } from "./errors.js";

/** One step of a text diff; counted in UTF-8 bytes on character boundaries. */
export type TextOperation = { r: number } | { i: string } | { d: number };

/** One RFC 6902 operation, applied to the BSON itself. */
export type PatchOperation = Document & { op: string; path: string };

export type Diff =
  | { t: "put"; v: Uint8Array | Document }
  | { t: "text"; ops: TextOperation[] }
  | { t: "patch"; ops: PatchOperation[] }
  | { t: "attr"; set?: Record<string, string>; unset?: string[] }
  | { t: "delete" }
  | { t: "rename"; to: string; then?: Diff };

/** A diff as its BSON bytes. */
export function encodeDiff(diff: Diff): Uint8Array<ArrayBuffer> {
  return new Uint8Array(BSON.serialize(documentOf(diff), { ignoreUndefined: true }));
}

/** The diff that these bytes say, or `undefined` for a kind this client does not know. */
export function decodeDiff(bytes: Uint8Array): Diff | undefined {
  const document = decodeDocument(bytes);
  return isDiff(document) ? document : undefined;
}

/** A BSON document as values; binary comes as `Uint8Array`, int64 as `Long`. */
export function decodeDocument(bytes: Uint8Array): Document {
  try {
    return BSON.deserialize(bytes, { promoteBuffers: true, promoteLongs: false });
  } catch (cause) {
    throw new VdomError("DataLoss", "the bytes are not a BSON document", {}, cause);
  }
}

/** By how many bytes the diff changes a file of this size; `undefined` where it cannot be told. */
export function sizeAfter(sizeBytes: number | undefined, diff: Diff): number | undefined {
  switch (diff.t) {
    case "put":
      return diff.v instanceof Uint8Array ? diff.v.byteLength : undefined;
    case "text": {
      if (sizeBytes === undefined) return undefined;
      const encoder = new TextEncoder();
      return diff.ops.reduce((size, op) => {
        if ("i" in op) return size + encoder.encode(op.i).byteLength;
        // An int64 comes as `Long`.
        return "d" in op ? size - Number(op.d) : size;
      }, sizeBytes);
    }
    case "attr":
      return sizeBytes;
    case "rename":
      return diff.then ? sizeAfter(sizeBytes, diff.then) : sizeBytes;
    default:
      return undefined;
  }
}

function documentOf(diff: Diff): Document {
  if (diff.t === "put" && diff.v instanceof Uint8Array) {
    return { t: "put", v: new Binary(diff.v) };
  }
  if (diff.t === "rename" && diff.then) {
    // biome-ignore lint/suspicious/noThenProperty: it is the name on the wire.
    return { t: "rename", to: diff.to, then: documentOf(diff.then) };
  }
  return diff;
}

function isDiff(document: Document): document is Diff {
  return ["put", "text", "patch", "attr", "delete", "rename"].includes(document.t);
}
