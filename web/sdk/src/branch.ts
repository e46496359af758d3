// One branch: read, write, list, watch.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Document } from "bson";
import type { Channel } from "./channel.js";
import { type Diff, encodeDiff } from "./diff.js";
import { VdomError } from "./errors.js";
import {
  OnConflict,
  type ReadSnapshotRequestSchema,
  type TreeEntry,
  type WriteDiffResponse,
} from "./gen/virtualdom/v1/dom_pb.js";
import { LiveTree, type LiveTreeOptions } from "./live-tree.js";
import { SeenNodes } from "./seen-nodes.js";
import { Snapshot } from "./snapshot.js";
import type { Change, NodeKind, Position, Seen, Tree, TreeNode, WatchEvent } from "./types.js";
import { changeFrom, type WatchOptions, watchBranch } from "./watch.js";
import { clockFrom, dateFrom, kindFrom, kindTo, numberFrom, operationId } from "./wire.js";
import { type Conflict, conflictFrom, type WriteResult, type Written } from "./write-result.js";

const encoder = new TextEncoder();

/** What an answer must at least be as of. */
export interface ReadOptions {
  /** Read as of this position instead of the latest. */
  at?: Position | undefined;
  /** Wait until this position is known there, e.g. the one of a write. */
  atLeast?: Position | undefined;
  /** How old the confirmation of the head may be; 0 confirms it now. */
  maxAgeMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface WriteOptions {
  /**
   * What the writer had seen of the node; `null`: nothing, the path must not
   * exist. Without it: what this object last read or wrote at that path.
   */
  seen?: Seen | null | undefined;
  /** What happens when that is not how the node stands. */
  onConflict?: "reject" | "merge" | "overwrite" | undefined;
  /** Of a creation. */
  kind?: NodeKind | undefined;
  message?: string | undefined;
  metadata?: Record<string, string> | undefined;
  /** Another name than the token's subject needs scope `dom.author`. */
  author?: string | undefined;
  /** 16 bytes that make the write safe to repeat; made here when absent. */
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
      realm: this.#channel.realm,
      repo: this.repo,
      branch: this.name,
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
    const seen = options.seen === undefined ? this.#seen.of(path) : options.seen;
    const request = {
      realm: this.#channel.realm,
      repo: this.repo,
      branch: this.name,
      path,
      nodeId: seen?.nodeId ?? new Uint8Array(),
      vectorClock: { entries: { ...seen?.clock } },
      diffBson: encodeDiff(diff),
      kind: kindTo(options.kind),
      author: options.author ?? "",
      message: options.message ?? "",
      metadata: options.metadata ?? {},
      operationId: options.operationId ?? operationId(),
      onConflict: onConflictTo(options.onConflict),
    };
    const response = await this.#channel.call(
      (client, callOptions) => client.writeDiff(request, callOptions),
      options.signal,
    );
    if (!response.success) return conflictOf(response, path);
    const written = writtenOf(response);
    this.#seen.written(path, diff, written);
    return written;
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
            realm: this.#channel.realm,
            repo: this.repo,
            branch: this.name,
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
        client.listBranches({ realm: this.#channel.realm, repo: this.repo }, callOptions),
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
      realm: this.#channel.realm,
      repo: this.repo,
      branch: this.name,
      prefix,
      ...readBounds(options),
    };
  }
}

function readBounds({ at, atLeast, maxAgeMs }: ReadOptions) {
  return {
    revision: BigInt(at?.revision ?? 0),
    epoch: BigInt(at?.epoch ?? 0),
    minRevision: BigInt(atLeast?.revision ?? 0),
    minEpoch: BigInt(atLeast?.epoch ?? 0),
    ...(maxAgeMs !== undefined && { maxAgeMs: BigInt(maxAgeMs) }),
  };
}

function onConflictTo(choice: WriteOptions["onConflict"]): OnConflict {
  switch (choice) {
    case "merge":
      return OnConflict.MERGE;
    case "overwrite":
      return OnConflict.OVERWRITE;
    default:
      return OnConflict.REJECT;
  }
}

function treeNodeOf(entry: TreeEntry): TreeNode {
  return {
    path: entry.path,
    nodeId: entry.nodeId,
    clock: clockFrom(entry.vectorClock),
    kind: kindFrom(entry.kind),
    version: numberFrom(entry.version),
    sizeBytes: numberFrom(entry.sizeBytes),
    author: entry.author,
    time: dateFrom(entry.timestamp),
    attributes: entry.attributes,
    changedRevision: numberFrom(entry.changedRevision),
  };
}

function writtenOf(response: WriteDiffResponse): Written {
  return {
    ok: true,
    nodeId: response.nodeId,
    clock: clockFrom(response.vectorClock),
    version: numberFrom(response.newVersion),
    position: { epoch: numberFrom(response.epoch), revision: numberFrom(response.revision) },
    merged: response.merged,
    time: dateFrom(response.timestamp),
    operationId: response.operationId,
  };
}

function conflictOf(response: WriteDiffResponse, path: string): Conflict {
  if (!response.conflict) {
    throw new VdomError("Internal", `the write to ${path} was refused without a reason`);
  }
  return conflictFrom(response.conflict);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}
