// One row of the tree.

import * as format from "../format.js";
import type { Row } from "../tree-model.js";
import { Chevron, DocumentIcon, FileIcon, FolderIcon } from "./icons.js";

interface RowProps {
  row: Row;
  active: boolean;
  selected: boolean;
  /** What was typed there is not saved yet. */
  draft: boolean;
  choose: (row: Row) => void;
}

export function TreeRow({ row, active, selected, draft, choose }: RowProps) {
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

/** The id of a path's row in the page. */
export const rowId = (path: string) => `row:${path}`;
