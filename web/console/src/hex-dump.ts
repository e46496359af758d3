// Bytes as offset, hex and characters, sixteen to a line.

const WIDTH = 16;

export function hexDump(bytes: Uint8Array, limit: number): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(bytes.byteLength, limit); at += WIDTH) {
    const part = bytes.subarray(at, Math.min(at + WIDTH, limit));
    const hex = Array.from(part, (byte) => byte.toString(16).padStart(2, "0"));
    const left = hex.slice(0, 8).join(" ").padEnd(23);
    const right = hex.slice(8).join(" ").padEnd(23);
    const characters = Array.from(part, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·",
    ).join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${left}  ${right}  ${characters}`);
  }
  return lines.join("\n");
}
