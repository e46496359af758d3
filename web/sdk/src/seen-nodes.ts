// What one branch object has seen of each node: the clocks its writes carry.

import type { Diff } from "./diff.js";
import type { Seen } from "./types.js";
import type { Written } from "./write-result.js";

const NODES = 10_000;

export class SeenNodes {
  /** In order of use; the longest unused is forgotten first. */
  readonly #byPath = new Map<string, Seen | null>();

  /** `null`: that there is nothing, or nothing was ever seen there. */
  of(path: string): Seen | null {
    return this.#byPath.get(path) ?? null;
  }

  remember(path: string, seen: Seen | null): void {
    this.#byPath.delete(path);
    this.#byPath.set(path, seen && { nodeId: seen.nodeId, clock: seen.clock });
    if (this.#byPath.size > NODES) {
      for (const oldest of this.#byPath.keys()) {
        this.#byPath.delete(oldest);
        break;
      }
    }
  }

  written(path: string, diff: Diff, written: Written): void {
    // A merge holds what others wrote, which this writer has not read yet.
    if (written.merged) return;
    this.remember(path, diff.t === "delete" || diff.t === "rename" ? null : written);
    if (diff.t === "rename") this.remember(diff.to, written);
  }

  /** As `written`, of a set: a path that one node leaves may be where another goes. */
  writtenAll(changes: readonly { path: string; diff: Diff; written: Written | undefined }[]): void {
    for (const { path } of changes) this.remember(path, null);
    for (const { path, diff, written } of changes) {
      if (!written || written.merged || diff.t === "delete") continue;
      this.remember(diff.t === "rename" ? diff.to : path, written);
    }
  }
}
