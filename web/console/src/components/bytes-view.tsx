// Content that is no text, or too much of it: its hash and its first bytes.

import { useEffect, useState } from "preact/hooks";
import { EDITABLE_BYTES } from "../content.js";
import * as format from "../format.js";
import { hexDump } from "../hex-dump.js";

const SHOWN_BYTES = 1024;

export function BytesView({ bytes, why }: { bytes: Uint8Array; why: "binary" | "large" }) {
  const hash = useSha256(bytes);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also for who has only keys.
    <section class="bytes" aria-label="Content" tabIndex={0}>
      <p class="quiet">
        {why === "binary"
          ? "Not text: its bytes are shown."
          : `Above ${format.size(EDITABLE_BYTES)}: too large to edit here.`}
      </p>
      <dl class="facts">
        <div>
          <dt>size</dt>
          <dd>{format.count(bytes.byteLength)} bytes</dd>
        </div>
        <div>
          <dt>SHA-256</dt>
          <dd class="hash">{hash ?? "…"}</dd>
        </div>
      </dl>
      <pre class="hex">{hexDump(bytes, SHOWN_BYTES)}</pre>
      {bytes.byteLength > SHOWN_BYTES && (
        <p class="quiet">and {format.count(bytes.byteLength - SHOWN_BYTES)} more bytes</p>
      )}
    </section>
  );
}

function useSha256(bytes: Uint8Array): string | undefined {
  const [hash, setHash] = useState<string>();
  useEffect(() => {
    let current = true;
    setHash(undefined);
    // Browsers offer it on HTTPS and on this machine only.
    const digest = crypto.subtle?.digest("SHA-256", new Uint8Array(bytes));
    if (!digest) setHash("needs HTTPS");
    void digest?.then((sum) => {
      if (current) setHash(Array.from(new Uint8Array(sum), twoDigits).join(""));
    });
    return () => {
      current = false;
    };
  }, [bytes]);
  return hash;
}

const twoDigits = (byte: number) => byte.toString(16).padStart(2, "0");
