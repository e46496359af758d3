// Two writers disagree: both sides, line by line, and the choice between them.

import type { Conflict } from "@vdom/sdk";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { contentOf } from "../content.js";
import * as format from "../format.js";
import { type Line, type LinePair, lineDiff } from "../line-diff.js";
import type { NodeEditor } from "../node-editor.js";

export function ConflictView({ editor, conflict }: { editor: NodeEditor; conflict: Conflict }) {
  const { theirs } = conflict;
  const text = theirsText(conflict);
  const pairs = useMemo(
    () => (text === undefined ? [] : lineDiff(editor.draft, text)),
    [editor.draft, text],
  );
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.focus(), []);
  return (
    <div
      ref={box}
      class="conflict"
      role="alertdialog"
      aria-label="Conflict"
      tabIndex={-1}
      data-testid="conflict"
    >
      <div class="banner warning">
        <span>
          <b>Nothing was saved.</b> {reasonText(conflict)}
        </span>
      </div>
      <div class="sides">
        <div class="side-heads">
          <h2>Yours, not saved</h2>
          <h2>
            Theirs
            {theirs && (
              <span class="quiet">
                {" "}
                version {theirs.version} by {theirs.author || "unknown"}
                {theirs.time && `, ${format.moment(theirs.time)}`}
              </span>
            )}
          </h2>
        </div>
        {text === undefined ? (
          <p class="empty quiet">
            {theirs ? "Their content is too large, or is no text." : "The node is gone."}
          </p>
        ) : (
          <div class="pairs">
            {pairs.map((pair) => (
              <Pair key={`${pair[0]?.number ?? ""}:${pair[1]?.number ?? ""}`} pair={pair} />
            ))}
          </div>
        )}
      </div>
      <div class="save-bar">
        <span class="said" role="status" data-error={editor.error !== undefined}>
          {editor.error?.message ?? ""}
        </span>
        <button type="button" onClick={() => editor.keepEditing()}>
          Keep editing
        </button>
        <button
          type="button"
          class="danger"
          disabled={editor.saving}
          onClick={() => void editor.overwrite()}
        >
          {theirs ? "Overwrite with yours" : "Create again with yours"}
        </button>
        <button type="button" class="primary" onClick={() => void editor.reloadTheirs()}>
          Reload theirs
        </button>
      </div>
    </div>
  );
}

function Pair({ pair: [mine, theirs] }: { pair: LinePair }) {
  return (
    <div class="pair">
      <Side line={mine} side="mine" />
      <Side line={theirs} side="theirs" />
    </div>
  );
}

function Side({ line, side }: { line: Line | undefined; side: "mine" | "theirs" }) {
  return (
    <div class="side" data-side={side} data-shared={line?.shared ?? "gap"}>
      <span class="number" aria-hidden="true">
        {line?.number}
      </span>
      <code>{line?.text}</code>
    </div>
  );
}

function theirsText({ theirs }: Conflict): string | undefined {
  if (!theirs?.content) return undefined;
  const content = contentOf({ kind: theirs.kind, content: theirs.content });
  return content.form === "bytes" ? undefined : content.text;
}

function reasonText({ reason, theirs }: Conflict): string {
  const who = theirs?.author || "Someone";
  switch (reason) {
    case "deleted":
      return "The node was deleted while you edited it.";
    case "pathExists":
      return `${who} created it before you did.`;
    case "targetExists":
      return "Something stands at the new path.";
    default:
      return `${who} changed it while you edited it.`;
  }
}
