// What a node's content is shown as, and what is written back.

import { BSON, Double, Int32, Long } from "bson";
import { expect, test } from "vitest";
import { contentOf, documentFrom, EDITABLE_BYTES, textFrom } from "../src/content.js";
import { hexDump } from "../src/hex-dump.js";
import { lineDiff } from "../src/line-diff.js";

const bytes = (text: string) => new TextEncoder().encode(text);

test("UTF-8 is text, with its byte order mark", () => {
  const content = contentOf({ kind: "file", content: bytes("\uFEFFgrün\n") });
  expect(content).toEqual({ form: "text", text: "\uFEFFgrün\n", lineEnding: "\n" });
});

test.each(["a\r\nb\r\n", "a\nb\n", "\n\n", "no line"])(
  "%j saved unchanged keeps its bytes",
  (text) => {
    const shown = contentOf({ kind: "file", content: bytes(text) });
    if (shown.form !== "text") throw new Error(shown.form);
    expect(shown.text).not.toContain("\r");
    expect(textFrom(shown.text, shown.lineEnding)).toBe(text);
  },
);

test.each(["a\r\nb\n", "\na\r\n", "a\rb", "a\r\r\nb"])(
  "the line endings of %j are mixed",
  (text) => {
    const shown = contentOf({ kind: "file", content: bytes(text) });
    expect(shown).toMatchObject({ form: "text", lineEnding: "mixed" });
  },
);

test.each([[Uint8Array.of(0xff, 0xfe)], [bytes("a\0b")]])("%j is shown as bytes", (content) => {
  expect(contentOf({ kind: "file", content })).toMatchObject({ form: "bytes", why: "binary" });
});

test("what is too large for an edit box is shown as bytes", () => {
  const content = new Uint8Array(EDITABLE_BYTES + 1).fill(0x61);
  expect(contentOf({ kind: "file", content })).toMatchObject({ form: "bytes", why: "large" });
});

test.each([
  { plain: "x", count: new Int32(3), list: [true, null] },
  { seconds: new Double(3), big: Long.fromString("9007199254740993"), small: Long.fromNumber(1) },
  { at: new Date(0), nested: { empty: {} } },
])("a document saved unchanged keeps its bytes: %j", (document) => {
  const content = BSON.serialize(document);
  const shown = contentOf({ kind: "meta", content });
  if (shown.form !== "document") throw new Error(shown.form);
  expect(BSON.serialize(documentFrom(shown.text))).toEqual(content);
});

test("a document of plain values is shown plainly", () => {
  const shown = contentOf({ kind: "meta", content: BSON.serialize({ n: 3 }) });
  expect(shown).toEqual({ form: "document", text: '{\n  "n": 3\n}' });
});

test.each(["[1]", "3", "null", "{", ""])("%j is no document", (text) => {
  expect(() => documentFrom(text)).toThrow();
});

test("a hex dump shows offset, bytes and characters", () => {
  expect(hexDump(bytes("vdom is 18 chars!\n"), 1024)).toBe(
    [
      "00000000  76 64 6f 6d 20 69 73 20  31 38 20 63 68 61 72 73  vdom is 18 chars",
      `00000010  21 0a                    ${" ".repeat(23)}  !·`,
    ].join("\n"),
  );
});

test("a line diff pairs shared lines and leaves gaps beside the others", () => {
  const pairs = lineDiff("a\nmine\nb\nc", "a\ntheirs\nb\nextra\nc");
  const side = (line: { text: string; shared: boolean } | undefined) =>
    line ? `${line.shared ? "=" : "*"}${line.text}` : "";
  expect(pairs.map(([mine, theirs]) => [side(mine), side(theirs)])).toEqual([
    ["=a", "=a"],
    ["*mine", "*theirs"],
    ["=b", "=b"],
    ["", "*extra"],
    ["=c", "=c"],
  ]);
});
