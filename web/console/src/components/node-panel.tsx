// One node: what it is, its content, the edit box, and what to do when two people edit.

import { useMemo, useRef } from "preact/hooks";
import type { BranchView } from "../branch-view.js";
import * as format from "../format.js";
import type { NodeEditor } from "../node-editor.js";
import { useObserved } from "../observable.js";
import { BytesView } from "./bytes-view.js";
import { ConflictView } from "./conflict-view.js";
import { TextEditor } from "./text-editor.js";

export function NodePanel({ view, path }: { view: BranchView; path: string }) {
  const editor = useObserved(useMemo(() => (path ? view.editor(path) : undefined), [view, path]));
  return (
    <section class="panel node-panel" aria-label="Node">
      {editor ? (
        <Node editor={editor} />
      ) : (
        <div class="center quiet">
          <h1>No node open</h1>
          <p>Choose one in the tree to read it.</p>
          <p>
            <kbd class="key">/</kbd> filters, arrow keys move, <kbd class="key">Enter</kbd> opens.
          </p>
        </div>
      )}
    </section>
  );
}

function Node({ editor }: { editor: NodeEditor }) {
  const { phase, content, conflict, error } = editor;
  // Whoever settled a conflict goes on typing.
  const settled = usePrevious(conflict) !== undefined && !conflict;
  return (
    <>
      <div class="panel-head node-head">
        <Breadcrumb path={editor.path} />
        <Facts editor={editor} />
      </div>
      <Banner editor={editor} />
      {phase === "loading" ? (
        <p class="empty quiet">Reading…</p>
      ) : phase === "failed" && error ? (
        <div class="center" role="alert">
          <p>{error.message}</p>
          <button type="button" onClick={() => void editor.load()}>
            Try again
          </button>
        </div>
      ) : conflict ? (
        <ConflictView editor={editor} conflict={conflict} />
      ) : content.form === "bytes" ? (
        <BytesView bytes={content.bytes} why={content.why} />
      ) : (
        <>
          <TextEditor editor={editor} focus={settled} />
          <SaveBar editor={editor} />
        </>
      )}
    </>
  );
}

function Breadcrumb({ path }: { path: string }) {
  const slash = path.lastIndexOf("/") + 1;
  return (
    <h1 class="breadcrumb" title={path}>
      <span class="folder">{path.slice(0, slash).replaceAll("/", " / ")}</span>
      {path.slice(slash)}
    </h1>
  );
}

function Facts({ editor: { snapshot, content } }: { editor: NodeEditor }) {
  if (!snapshot) return null;
  const lines = content.form === "text" ? content.text.split("\n").length : undefined;
  return (
    <p class="node-facts quiet" data-testid="node-facts">
      <span class="kind">{snapshot.kind}</span>
      <span>{format.size(snapshot.content.byteLength)}</span>
      {lines !== undefined && <span>{format.count(lines)} lines</span>}
      <span>version {format.count(snapshot.version)}</span>
      <span>
        changed by <b>{snapshot.author || "unknown"}</b> at r{snapshot.changedRevision}
      </span>
      {snapshot.time && (
        <time dateTime={snapshot.time.toISOString()}>{format.moment(snapshot.time)}</time>
      )}
    </p>
  );
}

/** What others did to the node while a draft is open. */
function Banner({ editor }: { editor: NodeEditor }) {
  const { remote, conflict, phase } = editor;
  if (phase === "missing") {
    return <p class="banner">Nothing stands at this path. Saving creates it.</p>;
  }
  if (phase === "ready" && !editor.editable && editor.content.form === "text") {
    return <p class="banner">Mixed line endings: an edit here would change them all. Read only.</p>;
  }
  if (!remote || conflict) return null;
  const what = remote.type === "delete" ? "deleted" : "changed";
  return (
    <div class="banner warning" role="alert">
      <span>
        <b>{remote.author || "Someone"}</b> {what} this at r{remote.revision} while you edit.
      </span>
      <button type="button" onClick={() => void editor.reloadTheirs()}>
        Reload theirs
      </button>
    </div>
  );
}

function SaveBar({ editor }: { editor: NodeEditor }) {
  const { dirty, saving, error, notice, phase } = editor;
  const savable = (dirty || phase === "missing") && !saving;
  return (
    <div class="save-bar">
      <span class="said" role="status" data-error={error !== undefined}>
        {error ? `${error.message}` : notice || (dirty ? "Not saved" : "")}
      </span>
      <button type="button" disabled={!dirty || saving} onClick={() => editor.revert()}>
        Revert
      </button>
      <button
        type="button"
        class="primary"
        disabled={!savable}
        aria-keyshortcuts="Control+S Meta+S"
        onClick={() => void editor.save()}
      >
        {saving ? "Saving…" : phase === "missing" ? "Create" : "Save"}
      </button>
    </div>
  );
}

function usePrevious<T>(value: T): T | undefined {
  const previous = useRef<T>(undefined);
  const last = previous.current;
  previous.current = value;
  return last;
}
