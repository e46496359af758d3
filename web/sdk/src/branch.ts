// One branch: read, write, list, watch.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Document } from "bson";
import type { Channel } from "./channel.js";
import { type KeptConflict, keptConflictFrom, type Resolution, resolutionTo } from "./conflicts.js";
import type { Diff } from "./diff.js";
import { VdomError } from "./errors.js";
import type { ReadSnapshotRequestSchema } from "./gen/virtualdom/v1/dom_pb.js";
import { LiveTree, type LiveTreeOptions } from "./live-tree.js";
import { joined, type ReadOptions, readBounds, treeNodeOf } from "./read.js";
import { SeenNodes } from "./seen-nodes.js";
import { Snapshot } from "./snapshot.js";
import type { Change, Position, Seen, Tree, TreeNode, WatchEvent } from "./types.js";
import { changeFrom, type WatchOptions, watchBranch } from "./watch.js";
import { numberFrom, operationId } from "./wire.js";
import {
  type ChangeOptions,
  diffRequest,
  type OnConflictChoice,
  onConflictTo,
  type SetChange,
  type SetOptions,
  type WriteOptions,
} from "./write.js";
import {
  type SetResult,
  setResultFrom,
  type WriteResult,
  writeResultFrom,
} from "./write-result.js";

const encoder = new TextEncoder();

export interface RevertOptions {
  /** What is done about nodes that changed since. */
  onConflict?: OnConflictChoice | undefined;
  message?: string | undefined;
  author?: string | undefined;
  operationId?: Uint8Array | undefined;
  signal?: AbortSignal | undefined;
}

export interface ResolveOptions {
  /** What the resolver had seen of the node; without it: as it stands. */
  seen?: Seen | undefined;
  message?: string | undefined;
  operationId?: Uint8Array | undefined;
  signal?: AbortSignal | undefined;
}

export class Branch {
  readonly #channel: Channel;
  readonly #seen = new SeenNodes();

  constructor(
    channel: Channel,
    readonly repo: string,
    readonly name: string,
  ) {
    this.#channel = channel;
  }

  /** A node. Throws `NotFound` where there is none. */
  async read(path: string, options: ReadOptions = {}): Promise<Snapshot> {
    const request: MessageInitShape<typeof ReadSnapshotRequestSchema> = {
      ...this.#place,
      path,
      ...readBounds(options),
    };
    try {
      const snapshot = await this.#read(request, options.signal);
      if (!options.at) this.#seen.remember(path, snapshot);
      return snapshot;
    } catch (thrown) {
      const error = VdomError.from(thrown);
      if (error.code === "NotFound" && !options.at) this.#seen.remember(path, null);
      throw error;
    }
  }

  /** The text of a file. */
  async text(path: string, options: ReadOptions = {}): Promise<string> {
    return (await this.read(path, options)).text();
  }

  /** Puts whole new content: text or bytes of a file, or a document. */
  async write(
    path: string,
    content: string | Uint8Array | Document,
    options: WriteOptions = {},
  ): Promise<WriteResult> {
    const v = typeof content === "string" ? encoder.encode(content) : content;
    return await this.apply(path, { t: "put", v }, options);
  }

  /** Deletes a node; its history stays. */
  async delete(path: string, options: WriteOptions = {}): Promise<WriteResult> {
    return await this.apply(path, { t: "delete" }, options);
  }

  /** Moves a node; it keeps its id and history. */
  async rename(path: string, to: string, options: WriteOptions = {}): Promise<WriteResult> {
    return await this.apply(path, { t: "rename", to }, options);
  }

  /** Writes any diff. A conflict is an answer, not an error. */
  async apply(path: string, diff: Diff, options: WriteOptions = {}): Promise<WriteResult> {
    const request = {
      ...this.#place,
      ...diffRequest(path, diff, this.#seenAt(path, options), options),
      keepConflict: options.keepConflict ?? false,
      author: options.author ?? "",
      operationId: options.operationId ?? operationId(),
    };
    const response = await this.#channel.call(
      (client, callOptions) => client.writeDiff(request, callOptions),
      options.signal,
    );
    const result = writeResultFrom(response, path);
    if (result.ok) this.#seen.written(path, diff, result);
    return result;
  }

  /**
   * Writes several changes as one: all of them or none. Each node may be named
   * once. Together they have to fit one message (4 MiB).
   */
  async writeAll(changes: readonly SetChange[], options: SetOptions = {}): Promise<SetResult> {
    const request = {
      ...this.#place,
      operationId: options.operationId ?? operationId(),
      expectedRevision: BigInt(options.expectedRevision ?? 0),
      onConflict: onConflictTo(options.onConflict),
      author: options.author ?? "",
      message: options.message ?? "",
      metadata: options.metadata ?? {},
      diffs: changes.map((change) =>
        diffRequest(change.path, change.diff, this.#seenAt(change.path, change), change),
      ),
    };
    const response = await this.#channel.call(
      (client, callOptions) => client.writeDiffs(request, callOptions),
      options.signal,
    );
    const result = setResultFrom(response);
    if (result.ok) {
      this.#seen.writtenAll(
        changes.map(({ path, diff }, index) => ({ path, diff, written: result.results[index] })),
      );
    }
    return result;
  }

  /** Writes the inverse of the changes from one revision to another, both included. */
  async revert(first: number, last: number, options: RevertOptions = {}): Promise<SetResult> {
    const request = {
      ...this.#place,
      firstRevision: BigInt(first),
      lastRevision: BigInt(last),
      onConflict: onConflictTo(options.onConflict),
      author: options.author ?? "",
      message: options.message ?? "",
      operationId: options.operationId ?? operationId(),
    };
    const response = await this.#channel.call(
      (client, callOptions) => client.revertChanges(request, callOptions),
      options.signal,
    );
    return setResultFrom(response);
  }

  /** The conflicts that were kept and not resolved, below these paths (none: all). */
  async conflicts(
    options: { paths?: readonly string[]; signal?: AbortSignal } = {},
  ): Promise<KeptConflict[]> {
    const kept: KeptConflict[] = [];
    for (let after = new Uint8Array(), more = true; more; ) {
      const request = { ...this.#place, paths: [...(options.paths ?? [])], afterConflictId: after };
      const page = await this.#channel.call(
        (client, callOptions) => client.listConflicts(request, callOptions),
        options.signal,
      );
      kept.push(...page.conflicts.map(keptConflictFrom));
      const last = page.conflicts.at(-1);
      more = page.more && last !== undefined;
      if (last) after = new Uint8Array(last.conflictId);
    }
    return kept;
  }

  /**
   * Resolves a conflict that was kept; `undefined` where nothing had to be
   * written. A conflict again: it stays.
   */
  async resolve(
    id: Uint8Array,
    resolution: Resolution,
    options: ResolveOptions = {},
  ): Promise<WriteResult | undefined> {
    const request = {
      ...this.#place,
      conflictId: id,
      ...resolutionTo(resolution),
      vectorClock: { entries: { ...options.seen?.clock } },
      message: options.message ?? "",
      operationId: options.operationId ?? operationId(),
    };
    const { written } = await this.#channel.call(
      (client, callOptions) => client.resolveConflict(request, callOptions),
      options.signal,
    );
    return written && writeResultFrom(written, "a node in conflict");
  }

  /** Nodes by their paths, in this order, as of one position. Throws `NotFound` for one that is not there. */
  async readAll(paths: readonly string[], options: ReadOptions = {}): Promise<Snapshot[]> {
    const request = { ...this.#place, paths: [...paths], ...readBounds(options) };
    const answers = await this.#channel.collect(
      (client, callOptions) => client.readSnapshots(request, callOptions),
      options.signal,
    );
    const snapshots = answers.map((answer) => new Snapshot(answer));
    if (!options.at) for (const it of snapshots) this.#seen.remember(it.path, it);
    return snapshots;
  }

  /** The nodes below a prefix (whole segments; empty: all), as of one position. */
  async tree(prefix = "", options: ReadOptions = {}): Promise<Tree> {
    const first = await this.#tree(prefix, options);
    if (first.position) return { nodes: first.nodes, position: first.position };
    // An empty tree does not say what it is as of: read again, at least as of a
    // head that is known.
    const atLeast = options.at ?? (await this.head(options.signal));
    const { nodes, position } = await this.#tree(prefix, { ...options, atLeast });
    return { nodes, position: position ?? atLeast };
  }

  /**
   * Every node below a prefix with its content, as of one position, in one
   * stream: the way to read many. Throws `Unavailable` if the stream breaks.
   */
  async *contents(
    prefix = "",
    options: ReadOptions = {},
  ): AsyncGenerator<{ node: TreeNode; content: Uint8Array }, void, void> {
    const { signal } = options;
    const request = { ...this.#treeRequest(prefix, options), includeContent: true };
    const entries = this.#channel.stream(
      (client, callOptions) => client.readTree(request, callOptions),
      signal,
    );
    for await (const entry of entries) {
      const node = treeNodeOf(entry);
      if (!entry.contentOmitted) yield { node, content: entry.content };
      else {
        const at = { epoch: numberFrom(entry.epoch), revision: numberFrom(entry.revision) };
        yield { node, content: (await this.read(node.path, { at, signal })).content };
      }
    }
  }

  /** A subtree that stays current; see `LiveTree`. */
  liveTree(prefix = "", options: LiveTreeOptions = {}): LiveTree {
    return new LiveTree(this, prefix, options);
  }

  /**
   * Every change, across lost connections. Ends with an `epochChanged` or
   * `compacted` event when the log cannot be followed from there: read again.
   * Throws when the gateway refuses.
   */
  watch(options: WatchOptions = {}): AsyncGenerator<WatchEvent, void, void> {
    return watchBranch(this.#channel, this.repo, this.name, options);
  }

  /** The newest changes of the branch, or of one node, newest first. */
  async history(
    options: { path?: string; limit?: number; beforeRevision?: number; signal?: AbortSignal } = {},
  ): Promise<Change[]> {
    const response = await this.#channel.call(
      (client, callOptions) =>
        client.getHistory(
          {
            ...this.#place,
            path: options.path ?? "",
            limit: options.limit ?? 0,
            beforeRevision: BigInt(options.beforeRevision ?? 0),
          },
          callOptions,
        ),
      options.signal,
    );
    return response.changes.map((change) => changeFrom(change, undefined));
  }

  /** Where the branch stands. Throws `NotFound` when it does not exist. */
  async head(signal?: AbortSignal): Promise<Position> {
    const { branches } = await this.#channel.call(
      (client, callOptions) =>
        client.listBranches(
          { realm: this.#channel.realm, repo: this.repo, branch: this.name },
          callOptions,
        ),
      signal,
    );
    const branch = branches.find((it) => it.name === this.name);
    if (!branch) {
      throw new VdomError("NotFound", `there is no branch ${this.name} in ${this.repo}`, {
        resource: `${this.repo}/${this.name}`,
      });
    }
    return { epoch: numberFrom(branch.epoch), revision: numberFrom(branch.revision) };
  }

  get #place() {
    return { realm: this.#channel.realm, repo: this.repo, branch: this.name };
  }

  #seenAt(path: string, options: ChangeOptions): Seen | null {
    return options.seen === undefined ? this.#seen.of(path) : options.seen;
  }

  async #read(
    request: MessageInitShape<typeof ReadSnapshotRequestSchema>,
    signal: AbortSignal | undefined,
  ): Promise<Snapshot> {
    try {
      return new Snapshot(
        await this.#channel.call(
          (client, options) => client.readSnapshot(request, options),
          signal,
        ),
      );
    } catch (thrown) {
      const error = VdomError.from(thrown);
      if (error.code !== "TooLarge") throw error;
    }
    const chunks = await this.#channel.collect(
      (client, options) => client.readSnapshotStream(request, options),
      signal,
    );
    const header = chunks.find((chunk) => chunk.snapshot)?.snapshot;
    const content = joined(chunks.map((chunk) => chunk.content));
    if (!header || content.byteLength !== numberFrom(chunks[0]?.sizeBytes ?? 0n)) {
      throw new VdomError("DataLoss", `the content of ${request.path} came incomplete`);
    }
    return new Snapshot(header, content);
  }

  async #tree(
    prefix: string,
    options: ReadOptions,
  ): Promise<{ nodes: TreeNode[]; position: Position | undefined }> {
    const request = this.#treeRequest(prefix, options);
    const entries = await this.#channel.collect(
      (client, callOptions) => client.readTree(request, callOptions),
      options.signal,
    );
    const [first] = entries;
    return {
      nodes: entries.map(treeNodeOf),
      position: first && {
        epoch: numberFrom(first.epoch),
        revision: numberFrom(first.revision),
      },
    };
  }

  #treeRequest(prefix: string, options: ReadOptions) {
    return {
      ...this.#place,
      prefix,
      ...readBounds(options),
    };
  }
}
