// What the page knows of one branch: its live tree, its last changes, how current they are.

import {
  type Branch,
  type Change,
  type ConnectionState,
  type Freshness,
  type Position,
  type TreeNode,
  VdomError,
} from "@vdom/sdk";
import { NodeEditor } from "./node-editor.js";
import { Observable } from "./observable.js";
import { TreeModel } from "./tree-model.js";

const FEED_LENGTH = 1000;
const EARLIER_CHANGES = 200;

export interface FeedEntry {
  readonly change: Change;
  /** In ms of `performance.now()`; absent for what was before the page was opened. */
  readonly arrivedMs: number | undefined;
}

export class BranchView extends Observable {
  readonly branch: Branch;
  readonly tree = new TreeModel();
  /** Newest first. */
  feed: FeedEntry[] = [];
  /** Why the changes before this page was opened cannot be shown. */
  feedError: VdomError | undefined;
  connection: ConnectionState = { state: "connecting", attempt: 1 };
  head: Position | undefined;
  freshness: Freshness | undefined;
  /** When `head` was last heard of, in ms of `performance.now()`. */
  heardAt = 0;
  /** Set when the gateway refused: nothing more will come. */
  error: VdomError | undefined;
  loaded = false;
  readonly #stop = new AbortController();
  /** Of the open node, and of every node with a draft. */
  readonly #editors = new Map<string, NodeEditor>();

  constructor(branch: Branch) {
    super();
    this.branch = branch;
  }

  /** Follows the branch until `stop`. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    const live = this.branch.liveTree("", {
      signal,
      onConnection: (state) => {
        this.connection = state;
        this.changed();
      },
    });
    try {
      for await (const update of live) {
        if (update.type === "read") {
          this.tree.replace(live.nodes.values());
          if (!this.loaded) void this.#readEarlier(update.position, signal);
          this.loaded = true;
          this.#heard(update.position, undefined);
        } else if (update.type === "progress") {
          this.#heard(update.position, update.freshness);
        } else {
          this.#apply(update.change, live.nodes);
        }
        this.changed();
      }
    } catch (thrown) {
      this.error = VdomError.from(thrown);
      this.changed();
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  /** The editor of a node; one with a draft is found again as it was left. */
  editor(path: string): NodeEditor {
    for (const [other, { dirty }] of this.#editors) if (!dirty) this.#editors.delete(other);
    let editor = this.#editors.get(path);
    if (!editor) {
      editor = new NodeEditor(this.branch, path);
      editor.observe(() => this.changed());
      void editor.load();
      this.#editors.set(path, editor);
    }
    return editor;
  }

  /** Whether what was typed at this path is not saved yet. */
  hasDraft(path: string): boolean {
    return this.#editors.get(path)?.dirty ?? false;
  }

  get hasDrafts(): boolean {
    return [...this.#editors.values()].some((editor) => editor.dirty);
  }

  /** How long ago the head was confirmed, as far as this page knows. */
  ageMs(now: number): number | undefined {
    return this.head && now - this.heardAt + (this.freshness?.ageMs ?? 0);
  }

  /** Opens or closes a folder. */
  setOpen(path: string, open: boolean): void {
    this.tree.setOpen(path, open);
    this.changed();
  }

  reveal(path: string): void {
    this.tree.reveal(path);
    this.changed();
  }

  #apply(change: Change, nodes: ReadonlyMap<string, TreeNode>): void {
    const now = performance.now();
    // Asking what stands at each path now is right for swaps, too.
    for (const path of [change.oldPath, change.path]) {
      if (path === undefined) continue;
      this.tree.set(path, nodes.get(path));
      this.tree.flash(path, change.revision, now);
      this.#editors.get(path)?.noticed(change);
    }
    this.feed.unshift({ change, arrivedMs: now });
    if (this.feed.length > FEED_LENGTH) this.feed.length = FEED_LENGTH;
    if (change.resume) this.#heard(change.resume, this.freshness);
  }

  #heard(position: Position, freshness: Freshness | undefined): void {
    this.head = position;
    this.freshness = freshness;
    this.heardAt = performance.now();
  }

  async #readEarlier(upTo: Position, signal: AbortSignal): Promise<void> {
    try {
      const earlier = await this.branch.history({ limit: EARLIER_CHANGES, signal });
      for (const change of earlier) {
        if (change.revision <= upTo.revision) this.feed.push({ change, arrivedMs: undefined });
      }
    } catch (thrown) {
      if (signal.aborted) return;
      this.feedError = VdomError.from(thrown);
    }
    this.changed();
  }
}
