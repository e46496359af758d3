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
import { ChangeFeed } from "./change-feed.js";
import { NodeEditor } from "./node-editor.js";
import { Observable } from "./observable.js";
import { TreeModel } from "./tree-model.js";

const EARLIER_CHANGES = 200;

export class BranchView extends Observable {
  readonly branch: Branch;
  readonly tree = new TreeModel();
  readonly feed = new ChangeFeed();
  /** Why the changes that nobody watched cannot be shown. */
  feedError: VdomError | undefined;
  connection: ConnectionState = { state: "connecting", attempt: 1 };
  head: Position | undefined;
  freshness: Freshness | undefined;
  /** When `head` was last heard of, in ms of `performance.now()`. */
  heardAt = 0;
  /** Set when the gateway refused: nothing more comes until it runs again. */
  error: VdomError | undefined;
  loaded = false;
  #stop = new AbortController();
  /** Of the open node, and of every node with a draft. */
  readonly #editors = new Map<string, NodeEditor>();

  constructor(branch: Branch) {
    super();
    this.branch = branch;
  }

  /** Follows the branch until `stop`, or until the gateway refuses. */
  async run(): Promise<void> {
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    this.error = undefined;
    const live = this.branch.liveTree("", {
      signal,
      onConnection: (state) => {
        this.connection = state;
        this.changed();
      },
    });
    try {
      for await (const update of live) {
        if (update.type === "read") this.#replace(live.nodes, update.position, signal);
        else if (update.type === "change") this.#apply(update.change, live.nodes);
        else this.#heard(update.position, update.freshness);
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

  /** The tree was read anew: whatever happened since the last time was not watched. */
  #replace(nodes: Nodes, position: Position, signal: AbortSignal): void {
    this.tree.replace(nodes.values());
    this.loaded = true;
    this.#heard(position, undefined);
    for (const [path, editor] of this.#editors) {
      const node = nodes.get(path);
      editor.noticed({
        type: node ? "update" : "delete",
        epoch: position.epoch,
        revision: node?.changedRevision ?? position.revision,
        author: node?.author ?? "",
      });
    }
    void this.#readEarlier(signal);
  }

  #apply(change: Change, nodes: Nodes): void {
    const now = performance.now();
    // Asking what stands at each path now is right for swaps, too.
    for (const path of [change.oldPath, change.path]) {
      if (path === undefined) continue;
      this.tree.set(path, nodes.get(path));
      this.tree.flash(path, change.revision, now);
      this.#editors.get(path)?.noticed(change);
    }
    this.feed.arrived(change, now);
    if (change.resume) this.#heard(change.resume, this.freshness);
  }

  #heard(position: Position, freshness: Freshness | undefined): void {
    this.head = position;
    this.freshness = freshness;
    this.heardAt = performance.now();
  }

  async #readEarlier(signal: AbortSignal): Promise<void> {
    try {
      this.feed.fill(await this.branch.history({ limit: EARLIER_CHANGES, signal }));
      this.feedError = undefined;
    } catch (thrown) {
      if (signal.aborted) return;
      this.feedError = VdomError.from(thrown);
    }
    this.changed();
  }
}

type Nodes = ReadonlyMap<string, TreeNode>;
