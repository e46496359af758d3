// The folders and nodes of a branch, flattened to the rows that are open.

import type { TreeNode } from "@vdom/sdk";

/** For how long a row shows that it just changed. */
export const FLASH_MS = 2_500;

export interface Row {
  readonly path: string;
  readonly name: string;
  /** 0 at the top. */
  readonly depth: number;
  readonly node: TreeNode | undefined;
  readonly folder: boolean;
  readonly open: boolean;
  /** How many nodes are below a folder. */
  readonly nodes: number;
  /** Place among its siblings, from 1. */
  readonly position: number;
  readonly siblings: number;
  /** The revision of a change that just happened: to the node, or inside a closed folder. */
  readonly flash: number | undefined;
}

/** A path may be a node and, at the same time, the folder of others. */
interface Entry {
  readonly name: string;
  readonly path: string;
  readonly parent: Entry | undefined;
  readonly children: Map<string, Entry>;
  sorted: Entry[] | undefined;
  node: TreeNode | undefined;
  nodes: number;
  changed: Moment | undefined;
  changedWithin: Moment | undefined;
}

interface Moment {
  readonly revision: number;
  readonly ms: number;
}

export class TreeModel {
  #root = entry("", "", undefined);
  #byPath = new Map<string, TreeNode>();
  /** Every path by name; made again only after one came or went. */
  #sorted: string[] | undefined;
  readonly #open = new Set<string>();

  get size(): number {
    return this.#byPath.size;
  }

  node(path: string): TreeNode | undefined {
    return this.#byPath.get(path);
  }

  /** Starts anew with these nodes; what was open stays open. */
  replace(nodes: Iterable<TreeNode>): void {
    this.#root = entry("", "", undefined);
    this.#byPath = new Map();
    this.#sorted = undefined;
    for (const node of nodes) this.set(node.path, node);
    const [only] = this.#root.children.values();
    if (only && this.#root.children.size === 1) this.#open.add(only.path);
  }

  /** What stands at a path now; `undefined`: nothing. */
  set(path: string, node: TreeNode | undefined): void {
    if (node) {
      const at = this.#make(path);
      if (!at.node) {
        adjustCounts(at, 1);
        this.#sorted = undefined;
      }
      at.node = node;
      this.#byPath.set(path, node);
    } else if (this.#byPath.delete(path)) {
      const at = this.#find(path);
      if (!at) return;
      at.node = undefined;
      this.#sorted = undefined;
      adjustCounts(at, -1);
      prune(at);
    }
  }

  /** Remembers a change that just happened, for its row and for the folders that hide it. */
  flash(path: string, revision: number, nowMs: number): void {
    const moment = { revision, ms: nowMs };
    const at = this.#find(path);
    if (at) at.changed = moment;
    let folder: Entry | undefined = at ?? this.#nearest(path);
    for (; folder; folder = folder.parent) folder.changedWithin = moment;
  }

  isOpen(path: string): boolean {
    return this.#open.has(path);
  }

  setOpen(path: string, open: boolean): void {
    if (open) this.#open.add(path);
    else this.#open.delete(path);
  }

  /** Opens every folder above a path. */
  reveal(path: string): void {
    const segments = path.split("/");
    for (let length = 1; length < segments.length; length += 1) {
      this.#open.add(segments.slice(0, length).join("/"));
    }
  }

  /** The rows to show: what is open, or with a filter every node whose path has all its words. */
  rows(filter: string, nowMs: number): Row[] {
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    return words.length > 0 ? this.#matching(words, nowMs) : this.#opened(nowMs);
  }

  #opened(nowMs: number): Row[] {
    const rows: Row[] = [];
    const visit = (parent: Entry, depth: number) => {
      const siblings = sortedChildren(parent);
      for (const [index, at] of siblings.entries()) {
        const folder = at.children.size > 0;
        const open = folder && this.#open.has(at.path);
        rows.push({
          path: at.path,
          name: at.name,
          depth,
          node: at.node,
          folder,
          open,
          nodes: at.nodes,
          position: index + 1,
          siblings: siblings.length,
          flash: fresh(folder && !open ? at.changedWithin : at.changed, nowMs),
        });
        if (open) visit(at, depth + 1);
      }
    };
    visit(this.#root, 0);
    return rows;
  }

  #matching(words: readonly string[], nowMs: number): Row[] {
    this.#sorted ??= [...this.#byPath.keys()].sort(byName);
    const paths = this.#sorted.filter((path) => {
      const lower = path.toLowerCase();
      return words.every((word) => lower.includes(word));
    });
    return paths.map((path, index) => ({
      path,
      name: path,
      depth: 0,
      node: this.#byPath.get(path),
      folder: false,
      open: false,
      nodes: 1,
      position: index + 1,
      siblings: paths.length,
      flash: fresh(this.#find(path)?.changed, nowMs),
    }));
  }

  #make(path: string): Entry {
    let at = this.#root;
    for (const name of path.split("/")) {
      let child = at.children.get(name);
      if (!child) {
        child = entry(name, at.path ? `${at.path}/${name}` : name, at);
        at.children.set(name, child);
        at.sorted = undefined;
        // A node that becomes a folder moves among its siblings.
        if (at.parent && at.children.size === 1) at.parent.sorted = undefined;
      }
      at = child;
    }
    return at;
  }

  #find(path: string): Entry | undefined {
    let at: Entry | undefined = this.#root;
    for (const name of path.split("/")) at = at?.children.get(name);
    return at;
  }

  #nearest(path: string): Entry {
    let at = this.#root;
    for (const name of path.split("/")) {
      const child = at.children.get(name);
      if (!child) break;
      at = child;
    }
    return at;
  }
}

function entry(name: string, path: string, parent: Entry | undefined): Entry {
  return {
    name,
    path,
    parent,
    children: new Map(),
    sorted: undefined,
    node: undefined,
    nodes: 0,
    changed: undefined,
    changedWithin: undefined,
  };
}

function fresh(moment: Moment | undefined, nowMs: number): number | undefined {
  return moment && nowMs - moment.ms < FLASH_MS ? moment.revision : undefined;
}

function adjustCounts(at: Entry, by: number): void {
  for (let step: Entry | undefined = at; step; step = step.parent) step.nodes += by;
}

/** Takes away folders that hold nothing any more. */
function prune(at: Entry): void {
  const { parent } = at;
  if (at.nodes > 0 || !parent) return;
  parent.children.delete(at.name);
  parent.sorted = undefined;
  if (parent.children.size === 0 && parent.parent) parent.parent.sorted = undefined;
  prune(parent);
}

/** Folders first, then by name. */
function sortedChildren(at: Entry): Entry[] {
  at.sorted ??= [...at.children.values()].sort((one, other) => {
    const folders = Number(other.children.size > 0) - Number(one.children.size > 0);
    return folders || byName(one.name, other.name);
  });
  return at.sorted;
}

const collator = new Intl.Collator("en", { numeric: true });
const byName = (one: string, other: string) => collator.compare(one, other);
