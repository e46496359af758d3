// The live tree: collapsible, filtered, moved through by keyboard; a changed row lights up.

import { useEffect, useRef, useState } from "preact/hooks";
import type { BranchView } from "../branch-view.js";
import * as format from "../format.js";
import { step } from "../tree-keys.js";
import type { Row } from "../tree-model.js";
import { PlusIcon, SearchIcon } from "./icons.js";
import { NewFile } from "./new-file.js";
import { rowId, TreeRow } from "./tree-row.js";
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
