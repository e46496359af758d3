// What the keys mean in the tree: the WAI-ARIA tree pattern.

import type { Row } from "./tree-model.js";

export interface Step {
  /** Where the key leads. */
  readonly row: Row;
  /** Set to open or close that row. */
  readonly open?: boolean;
  /** The row is chosen, as by a click. */
  readonly choose?: boolean;
}

/** `undefined` for a key that means nothing here; `at` is -1 where no row is active. */
export function step(key: string, rows: readonly Row[], at: number): Step | undefined {
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
