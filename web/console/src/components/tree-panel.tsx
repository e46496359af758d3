// The live tree: collapsible, filtered, moved through by keyboard; a changed row lights up.

import { useEffect, useRef, useState } from "preact/hooks";
import type { BranchView } from "../branch-view.js";
import * as format from "../format.js";
import type { Row } from "../tree-model.js";
import { Chevron, DocumentIcon, FileIcon, FolderIcon, PlusIcon, SearchIcon } from "./icons.js";
import { VirtualList } from "./virtual-list.js";

const ROW_HEIGHT = 26;

interface Props {
  view: BranchView;
  selected: string;
  open: (path: string) => void;
}

export function TreePanel({ view, selected, open }: Props) {
  const [filter, setFilter] = useState("");
  const [active, setActive] = useState(selected);
  const [creating, setCreating] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const tree = useRef<HTMLDivElement>(null);
  const rows = view.tree.rows(filter, performance.now());
  const activeIndex = rows.findIndex((row) => row.path === active);

  // A deep link opens the folders above its node, once they are there.
  useEffect(() => {
    if (!selected || !view.loaded) return;
    view.reveal(selected);
    setActive(selected);
  }, [view, view.loaded, selected]);

  useSlash(search);

  const refine = (words: string) => {
    setFilter(words);
    setActive(words ? "" : selected);
    tree.current?.scrollTo({ top: 0 });
  };

  const choose = (row: Row) => {
    setActive(row.path);
    if (row.folder) view.setOpen(row.path, !row.open);
    if (row.node) open(row.path);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const moved = step(event.key, rows, activeIndex);
    if (moved === undefined) return;
    event.preventDefault();
    if (moved.open !== undefined) view.setOpen(moved.row.path, moved.open);
    setActive(moved.row.path);
    if (moved.choose) choose(moved.row);
  };

  return (
    <section class="panel tree-panel" aria-label="Tree">
      <div class="panel-head">
        <label class="search">
          <SearchIcon />
          <input
            ref={search}
            type="search"
            placeholder="Filter paths"
            aria-label="Filter paths"
            aria-keyshortcuts="/"
            value={filter}
            onInput={(event) => refine(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Escape") refine("");
              if (event.key === "ArrowDown" || event.key === "Enter") tree.current?.focus();
            }}
          />
          <span class="key" aria-hidden="true">
            /
          </span>
        </label>
        <button
          type="button"
          class="quiet-button"
          aria-label="New file"
          title="New file"
          aria-expanded={creating}
          onClick={() => setCreating(!creating)}
        >
          <PlusIcon />
        </button>
      </div>
      {creating && (
        <NewFile
          beside={selected}
          create={(path) => {
            setCreating(false);
            open(path);
          }}
          cancel={() => setCreating(false)}
        />
      )}
      {rows.length > 0 ? (
        <VirtualList
          box={tree}
          class="rows"
          role="tree"
          aria-label={`Nodes of ${view.branch.repo} @ ${view.branch.name}`}
          tabIndex={0}
          aria-activedescendant={activeIndex >= 0 ? rowId(active) : undefined}
          onKeyDown={onKeyDown}
          items={rows}
          rowHeight={ROW_HEIGHT}
          active={activeIndex}
          row={(row) => (
            <TreeRow
              key={`${row.path} ${row.flash ?? ""}`}
              row={row}
              active={row.path === active}
              selected={row.path === selected}
              draft={view.hasDraft(row.path)}
              choose={choose}
            />
          )}
        />
      ) : (
        <p class="empty quiet">
          {!view.loaded
            ? "Reading the tree…"
            : filter
              ? "No path has these words."
              : "No nodes yet."}
        </p>
      )}
      <p class="panel-foot quiet" data-testid="node-count">
        {view.loaded ? nodeCount(view.tree.size, filter ? rows.length : undefined) : " "}
      </p>
    </section>
  );
}

interface RowProps {
  row: Row;
  active: boolean;
  selected: boolean;
  /** What was typed there is not saved yet. */
  draft: boolean;
  choose: (row: Row) => void;
}

function TreeRow({ row, active, selected, draft, choose }: RowProps) {
  const { node, folder } = row;
  return (
    // The keyboard is the tree's: it names its active row, which never holds the focus itself.
    // biome-ignore lint/a11y/useKeyWithClickEvents: see above.
    // biome-ignore lint/a11y/useFocusableInteractive: see above.
    <div
      id={rowId(row.path)}
      class="row"
      role="treeitem"
      aria-level={row.depth + 1}
      aria-setsize={row.siblings}
      aria-posinset={row.position}
      aria-expanded={folder ? row.open : undefined}
      aria-selected={selected}
      data-path={row.path}
      data-active={active}
      data-flash={row.flash}
      title={node ? `${row.path}\nversion ${node.version} by ${node.author}` : row.path}
      style={{ "--depth": row.depth }}
      onClick={() => choose(row)}
    >
      <span class="twist" data-open={row.open}>
        {folder && <Chevron />}
      </span>
      {folder ? <FolderIcon /> : node?.kind === "file" ? <FileIcon /> : <DocumentIcon />}
      <span class="name">{row.name}</span>
      {draft && (
        <span class="draft">
          <span class="unseen">, not saved</span>
        </span>
      )}
      {folder && !row.open && <span class="badge">{format.count(row.nodes)}</span>}
    </div>
  );
}

interface NewFileProps {
  beside: string;
  create: (path: string) => void;
  cancel: () => void;
}

function NewFile({ beside, create, cancel }: NewFileProps) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  return (
    <form
      class="new-file"
      onSubmit={(event) => {
        event.preventDefault();
        const path = input.current?.value.split("/").filter(Boolean).join("/");
        if (path) create(path);
      }}
      onKeyDown={(event) => event.key === "Escape" && cancel()}
    >
      <input
        ref={input}
        aria-label="Path of the new file"
        placeholder="path/of/the/new-file"
        defaultValue={beside.slice(0, beside.lastIndexOf("/") + 1)}
        required
        maxLength={1024}
      />
      <button type="submit">Open</button>
    </form>
  );
}

interface Step {
  readonly row: Row;
  readonly open?: boolean;
  readonly choose?: boolean;
}

/** What a key means in the tree, as the WAI-ARIA tree pattern has it. */
function step(key: string, rows: readonly Row[], at: number): Step | undefined {
  const to = (index: number): Step | undefined => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, index))];
    return row && { row };
  };
  const row = rows[at];
  switch (key) {
    case "ArrowDown":
      return to(at + 1);
    case "ArrowUp":
      return to(at - 1);
    case "PageDown":
      return to(at + 20);
    case "PageUp":
      return to(at - 20);
    case "Home":
      return to(0);
    case "End":
      return to(rows.length - 1);
    case "ArrowRight":
      if (!row?.folder) return undefined;
      return row.open ? to(at + 1) : { row, open: true };
    case "ArrowLeft": {
      if (!row) return undefined;
      if (row.open) return { row, open: false };
      const parent = rows.findLastIndex((it, index) => index < at && it.depth < row.depth);
      return parent >= 0 ? to(parent) : undefined;
    }
    case "Enter":
    case " ":
      return row && { row, choose: true };
    default:
      return undefined;
  }
}

/** `/` goes to the filter from anywhere but a field. */
function useSlash(search: { current: HTMLInputElement | null }) {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.target instanceof HTMLInputElement) return;
      if (event.target instanceof HTMLTextAreaElement) return;
      event.preventDefault();
      search.current?.focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [search]);
}

function nodeCount(all: number, shown: number | undefined): string {
  const nodes = `${format.count(all)} ${all === 1 ? "node" : "nodes"}`;
  return shown === undefined ? nodes : `${format.count(shown)} of ${nodes}`;
}

const rowId = (path: string) => `row:${path}`;
