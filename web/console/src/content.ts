// How a node's content is shown: text, a document as JSON, or bytes.

import type { Snapshot } from "@vdom/sdk";
import { BSON, BSONValue, EJSON } from "bson";

/** Above this a textarea is no joy. */
export const EDITABLE_BYTES = 1 << 20;

/** An edit box knows `\n` only: what a file has besides must be put back, or left alone. */
export type LineEnding = "\n" | "\r\n" | "mixed";

export type Content =
  | { readonly form: "text"; readonly text: string; readonly lineEnding: LineEnding }
  | { readonly form: "document"; readonly text: string }
  | { readonly form: "bytes"; readonly bytes: Uint8Array; readonly why: "binary" | "large" };

export function contentOf(node: Pick<Snapshot, "kind" | "content">): Content {
  const { kind, content } = node;
  if (content.byteLength > EDITABLE_BYTES) return { form: "bytes", bytes: content, why: "large" };
  if (kind !== "file") return { form: "document", text: documentText(content) };
  const text = utf8(content);
  return text === undefined
    ? { form: "bytes", bytes: content, why: "binary" }
    : { form: "text", text: text.replace(/\r\n?/g, "\n"), lineEnding: lineEndingOf(text) };
}

/** The text of a file as it was typed, with the line ending that the file has. */
export function textFrom(typed: string, lineEnding: LineEnding): string {
  return lineEnding === "\r\n" ? typed.replaceAll("\n", "\r\n") : typed;
}

/** The document that the text says. Throws with what is wrong and where. */
export function documentFrom(text: string): BSON.Document {
  const document = EJSON.parse(text, { relaxed: false });
  // `3` and `{"$numberInt": "3"}` are values of their own type, not documents.
  const value = document instanceof BSONValue || Array.isArray(document);
  if (typeof document !== "object" || document === null || value) {
    throw new SyntaxError("A document is an object: { … }");
  }
  return document;
}

/**
 * Plain JSON where saving it unchanged gives the same bytes, else the canonical
 * form that names every type: an edit must not turn an int64 into a double.
 */
function documentText(content: Uint8Array): string {
  const document = BSON.deserialize(content, { promoteValues: false });
  const plain = EJSON.stringify(document, undefined, 2, { relaxed: true });
  return equal(BSON.serialize(documentFrom(plain)), content)
    ? plain
    : EJSON.stringify(document, undefined, 2, { relaxed: false });
}

function lineEndingOf(text: string): LineEnding {
  if (!text.includes("\r")) return "\n";
  return /(^|[^\r])\n|\r(?!\n)/.test(text) ? "mixed" : "\r\n";
}

function utf8(bytes: Uint8Array): string | undefined {
  // Tools write NUL only into what is not text.
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.byteLength === other.byteLength && one.every((byte, at) => byte === other[at]);
}
