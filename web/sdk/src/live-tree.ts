// A subtree that stays current: read at one revision, then followed from it.

import { DEFAULT_BACKOFF, delay, pauseMs } from "./backoff.js";
import type { Branch } from "./branch.js";
import { sizeAfter } from "./diff.js";
import { VdomError } from "./errors.js";
import type { Change, Position, Progress, Tree, TreeNode } from "./types.js";
import type { WatchOptions } from "./watch.js";
import { hex } from "./wire.js";

export type LiveTreeOptions = Omit<WatchOptions, "paths" | "from">;

export type TreeUpdate =
  /** `nodes` was read anew: at the start, and when the log could not be followed. */
  | { readonly type: "read"; readonly position: Position }
  /** One change was applied to `nodes`. `node` is what it left, absent after a deletion. */
  | { readonly type: "change"; readonly change: Change; readonly node: TreeNode | undefined }
  | Progress;

/**
 * The nodes below a prefix. Nothing happens until it is iterated; each update
 * is already in `nodes` when it is delivered.
 */
export class LiveTree implements AsyncIterable<TreeUpdate> {
  readonly #branch: Branch;
  readonly #prefix: string;
  readonly #options: LiveTreeOptions;
  #byPath = new Map<string, TreeNode>();
  #byId = new Map<string, TreeNode>();

  constructor(branch: Branch, prefix: string, options: LiveTreeOptions) {
    this.#branch = branch;
    this.#prefix = prefix;
    this.#options = options;
  }

  /** By path. */
  get nodes(): ReadonlyMap<string, TreeNode> {
    return this.#byPath;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TreeUpdate, void, void> {
    const { signal } = this.#options;
    const paths = this.#prefix ? [this.#prefix] : [];
    while (!signal?.aborted) {
      const tree = await this.#read();
      if (!tree) return;
      this.#replace(tree.nodes);
      yield { type: "read", position: tree.position };
      for await (const event of this.#branch.watch({
        ...this.#options,
        paths,
        from: tree.position,
      })) {
        // The log cannot be followed: the watch ends, the tree is read again.
        if (event.type === "epochChanged" || event.type === "compacted") break;
        if (event.type === "progress") yield event;
        else yield { type: "change", change: event, node: this.#apply(event) };
      }
    }
  }

  /** The tree, however long the gateway is away; `undefined` once the caller stopped. */
  async #read(): Promise<Tree | undefined> {
    const { signal, onConnection, backoff = DEFAULT_BACKOFF } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      try {
        onConnection?.({ state: "connecting", attempt });
        return await this.#branch.tree(this.#prefix, { signal });
      } catch (thrown) {
        if (signal?.aborted) return undefined;
        const failure = VdomError.from(thrown);
        if (!failure.retryable) throw failure;
        const retryInMs = failure.details.retryAfterMs ?? pauseMs(attempt, backoff);
        onConnection?.({ state: "waiting", attempt, retryInMs, reason: failure.message });
        try {
          await delay(retryInMs, signal);
        } catch {
          return undefined;
        }
      }
    }
  }

  #replace(nodes: readonly TreeNode[]): void {
    this.#byPath = new Map(nodes.map((node) => [node.path, node]));
    this.#byId = new Map(nodes.map((node) => [hex(node.nodeId), node]));
  }

  #apply(change: Change): TreeNode | undefined {
    const id = hex(change.nodeId);
    const before = this.#byId.get(id);
    // In a swap another node of the same change set may already stand at the
    // old path: only what is still this node's goes.
    if (before && this.#byPath.get(before.path) === before) this.#byPath.delete(before.path);
    this.#byId.delete(id);
    if (change.type === "delete" || !this.#contains(change.path)) return undefined;
    const node: TreeNode = {
      nodeId: change.nodeId,
      clock: change.clock,
      path: change.path,
      kind: change.kind,
      version: change.version,
      sizeBytes: sizeOf(before, change),
      author: change.author,
      time: change.time,
      attributes: attributesOf(before, change),
      changedRevision: change.revision,
    };
    this.#byId.set(id, node);
    this.#byPath.set(node.path, node);
    return node;
  }

  #contains(path: string): boolean {
    return !this.#prefix || path === this.#prefix || path.startsWith(`${this.#prefix}/`);
  }
}

function sizeOf(before: TreeNode | undefined, change: Change): number | undefined {
  if (change.diff) return sizeAfter(before?.sizeBytes, change.diff);
  return undefined;
}

function attributesOf(before: TreeNode | undefined, change: Change): TreeNode["attributes"] {
  const attributes = { ...before?.attributes };
  if (change.diff?.t === "attr") {
    for (const name of change.diff.unset ?? []) delete attributes[name];
    Object.assign(attributes, change.diff.set);
  }
  return attributes;
}
