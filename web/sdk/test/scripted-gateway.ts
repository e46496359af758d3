// A gateway in memory that keeps a log of whole-content changes, and lets a
// test break its streams.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect";
import { decodeDiff } from "../src/diff.js";
import { ErrorInfoSchema, RequestInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import {
  type ChangeEvent,
  ChangeEventSchema,
  MemoryGateway,
  type ReadTreeRequest,
  ConflictInfo_Reason as Reason,
  ResolveConflictRequest_Resolution as Resolution,
  type ResolveConflictRequest,
  type RevertChangesRequest,
  type StoredConflictSchema,
  type SubscribeRequest,
  ChangeEvent_Type as Type,
  type WriteDiffRequest,
  type WriteDiffResponseSchema,
  type WriteDiffsRequest,
} from "../src/gen/virtualdom/v1/dom_pb.js";

type Init = MessageInitShape<typeof ChangeEventSchema>;
type Kept = MessageInitShape<typeof StoredConflictSchema>;
type Answer = MessageInitShape<typeof WriteDiffResponseSchema>;

interface Node {
  id: Uint8Array;
  path: string;
  content: Uint8Array;
  version: bigint;
  clock: Record<string, bigint>;
  revision: bigint;
}

export const EPOCH = 7n;

/** What one subscription sends: events, then an error or the end. */
export type StreamScript = (request: SubscribeRequest) => AsyncIterable<Init>;

export class ScriptedGateway {
  readonly nodes = new Map<string, Node>();
  readonly log: ChangeEvent[] = [];
  readonly writes: WriteDiffRequest[] = [];
  readonly sets: WriteDiffsRequest[] = [];
  readonly branches = new Set(["main"]);
  /** Conflicts by the first byte of their id. */
  readonly kept = new Map<number, Kept>();
  readonly subscriptions: SubscribeRequest[] = [];
  /** Thrown by the next unary calls, one each. */
  readonly failures: ConnectError[] = [];
  /** Used by the next subscriptions, one each; then the log is served. */
  readonly scripts: StreamScript[] = [];
  /** Called after each tree was taken, before its caller has it. */
  afterTree: () => void = () => {};
  unaryLimitBytes = 4 << 20;
  treeContentLimitBytes = 1 << 20;
  #wake: () => void = () => {};

  get revision(): bigint {
    return BigInt(this.log.length);
  }

  put(path: string, text: string, actor = "someone"): void {
    const before = this.nodes.get(path);
    const revision = this.revision + 1n;
    const node: Node = {
      id: before?.id ?? crypto.getRandomValues(new Uint8Array(16)),
      path,
      content: new TextEncoder().encode(text),
      version: (before?.version ?? 0n) + 1n,
      clock: { ...before?.clock, [actor]: (before?.clock[actor] ?? 0n) + 1n },
      revision,
    };
    this.nodes.set(path, node);
    this.append({ ...eventOf(node, actor), type: before ? Type.UPDATE : Type.CREATE });
  }

  delete(path: string): void {
    const node = this.nodes.get(path);
    if (!node) throw new Error(`no node ${path}`);
    this.nodes.delete(path);
    this.append({ ...eventOf(node, "someone"), type: Type.DELETE });
  }

  idOf(path: string): Uint8Array {
    const node = this.nodes.get(path);
    if (!node) throw new Error(`no node ${path}`);
    return node.id;
  }

  append(...events: Init[]): void {
    for (const event of events) {
      this.log.push(
        create(ChangeEventSchema, { epoch: EPOCH, ...event, revision: this.revision + 1n }),
      );
    }
    this.#wake();
  }

  transport(): Transport {
    return createRouterTransport(({ service }) => {
      service(MemoryGateway, {
        writeDiff: (request) => this.#write(request),
        writeDiffs: (request) => this.#writeAll(request),
        revertChanges: (request) => this.#revert(request),
        listConflicts: ({ afterConflictId, paths }) => {
          this.#fail();
          const kept = [...this.kept.values()].filter(
            ({ conflict, conflictId }) =>
              (paths.length === 0 || paths.includes(conflict?.path ?? "")) &&
              (afterConflictId[0] ?? 0) < (conflictId?.[0] ?? 0),
          );
          // One a page: a client has to ask for the rest.
          return { conflicts: kept.slice(0, 1), more: kept.length > 1 };
        },
        resolveConflict: (request) => this.#resolve(request),
        readSnapshots: async function* (this: ScriptedGateway, request: { paths: string[] }) {
          for (const path of request.paths) yield this.#snapshot(path);
        }.bind(this),
        createBranch: ({ branch, fromBranch, atRevision }) => {
          this.#fail();
          this.branches.add(branch);
          const from = { fromBranch, fromRevision: atRevision || this.revision };
          return { branch: { name: branch, epoch: EPOCH, revision: this.revision, ...from } };
        },
        deleteBranch: ({ branch }) => {
          this.#fail();
          if (!this.branches.delete(branch)) {
            throw failure(Code.NotFound, "NotFound", `there is no branch ${branch}`);
          }
          return {};
        },
        readSnapshot: (request) => {
          const snapshot = this.#snapshot(request.path);
          if (snapshot.content.byteLength > this.unaryLimitBytes) {
            throw failure(Code.ResourceExhausted, "TooLarge", "read it as a stream");
          }
          return snapshot;
        },
        readSnapshotStream: async function* (this: ScriptedGateway, request: { path: string }) {
          const { content, ...snapshot } = this.#snapshot(request.path);
          yield { snapshot, sizeBytes: BigInt(content.byteLength) };
          for (let at = 0; at < content.byteLength; at += 3) {
            yield { content: content.subarray(at, at + 3) };
          }
        }.bind(this),
        readTree: async function* (this: ScriptedGateway, request: ReadTreeRequest) {
          const { prefix, includeContent } = request;
          const revision = this.revision;
          const nodes = [...this.nodes.values()].filter(
            (node) => !prefix || node.path === prefix || node.path.startsWith(`${prefix}/`),
          );
          this.afterTree();
          for (const node of nodes) {
            yield {
              nodeId: node.id,
              path: node.path,
              version: node.version,
              vectorClock: { entries: node.clock },
              sizeBytes: BigInt(node.content.byteLength),
              changedRevision: node.revision,
              epoch: EPOCH,
              revision,
              ...(includeContent && contentOf(node, this.treeContentLimitBytes)),
            };
          }
        }.bind(this),
        subscribeChanges: (request, { signal }) => {
          this.subscriptions.push(request);
          return this.scripts.shift()?.(request) ?? this.#serve(request, signal);
        },
        listBranches: ({ branch, pageToken }) => {
          this.#fail();
          const revision = this.revision;
          // One a page.
          const names = [...this.branches].filter((it) => branch === "" || it === branch);
          const at = Number(pageToken);
          const branches = names
            .slice(at, at + 1)
            .map((name) => ({ name, epoch: EPOCH, revision }));
          return { branches, nextPageToken: at + 1 < names.length ? `${at + 1}` : "" };
        },
        listRepos: () => {
          this.#fail();
          return { repos: [{ name: "app", branches: 1 }] };
        },
      });
    });
  }

  async *#serve(request: SubscribeRequest, signal: AbortSignal): AsyncIterable<Init> {
    let next = Number(request.fromEpoch === 0n ? this.revision : request.fromRevision);
    while (!signal.aborted) {
      for (; next < this.log.length; next += 1) yield this.log[next] as ChangeEvent;
      yield { type: Type.PROGRESS, epoch: EPOCH, revision: this.revision };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener("abort", () => resolve());
        if (next < this.log.length) resolve();
      });
    }
  }

  #write(request: WriteDiffRequest): Answer {
    this.writes.push(request);
    this.#fail();
    return this.#conflict(request) ?? this.#apply(request);
  }

  #writeAll(request: WriteDiffsRequest) {
    this.sets.push(request);
    this.#fail();
    const conflicts = request.diffs.map((diff) => this.#conflict(diff));
    if (conflicts.some((conflict) => conflict !== undefined)) {
      const results = conflicts.map((conflict) => conflict ?? {});
      return { success: false, epoch: EPOCH, lastRevision: this.revision, results };
    }
    const firstRevision = this.revision + 1n;
    const results = request.diffs.map((diff) => this.#apply(diff));
    return this.#set(firstRevision, results, request.operationId);
  }

  /** Puts `reverted` at the path of the first change. */
  #revert(request: RevertChangesRequest) {
    this.#fail();
    const event = this.log[Number(request.firstRevision) - 1];
    if (!event) throw failure(Code.NotFound, "NotFound", "there is no such revision");
    this.put(event.path, "reverted");
    return this.#set(this.revision, [this.#answer(event.path)], request.operationId);
  }

  #set(firstRevision: bigint, results: Answer[], operationId: Uint8Array) {
    const lastRevision = this.revision;
    return { success: true, epoch: EPOCH, firstRevision, lastRevision, results, operationId };
  }

  #resolve(request: ResolveConflictRequest) {
    this.#fail();
    const key = request.conflictId[0] ?? 0;
    const kept = this.kept.get(key);
    if (!kept) throw failure(Code.NotFound, "NotFound", "there is no such conflict");
    this.kept.delete(key);
    if (request.resolution === Resolution.OURS) return {};
    const path = kept.request?.path ?? "";
    const refused = decodeDiff(kept.request?.diffBson ?? new Uint8Array());
    const put = refused?.t === "put" && refused.v instanceof Uint8Array ? refused.v : undefined;
    const content = request.resolution === Resolution.MANUAL ? request.content : put;
    this.put(path, new TextDecoder().decode(content));
    return { written: this.#answer(path) };
  }

  /** What stands in the way; kept where that is asked for. */
  #conflict(request: WriteDiffRequest): Answer | undefined {
    const node = this.nodes.get(request.path);
    const seen = request.vectorClock?.entries ?? {};
    const current = node?.clock ?? {};
    if (sameClock(seen, current)) return undefined;
    const reason = !node
      ? Reason.DELETED
      : Object.keys(seen).length === 0
        ? Reason.PATH_EXISTS
        : Reason.STALE_CLOCK;
    const conflictId = request.keepConflict
      ? new Uint8Array(16).fill(this.kept.size + 1)
      : new Uint8Array();
    const conflict = {
      reason,
      path: request.path,
      nodeId: node?.id ?? request.nodeId,
      currentClock: { entries: current },
      currentContent: node?.content ?? new Uint8Array(),
      currentAuthor: "someone",
      baseMissing: true,
      epoch: EPOCH,
      revision: this.revision,
      conflictId,
    };
    if (request.keepConflict) {
      this.kept.set(this.kept.size + 1, { conflictId, conflict, request, subject: "me" });
    }
    return { success: false, conflict };
  }

  #apply(request: WriteDiffRequest): Answer {
    const node = this.nodes.get(request.path);
    const diff = decodeDiff(request.diffBson);
    if (diff?.t === "delete") this.delete(request.path);
    else if (diff?.t === "put" && diff.v instanceof Uint8Array) {
      this.put(request.path, new TextDecoder().decode(diff.v), "me");
    } else throw new Error(`not scripted: ${diff?.t}`);
    return { ...this.#answer(request.path), ...(node && { nodeId: node.id }) };
  }

  #answer(path: string): Answer {
    const node = this.nodes.get(path);
    return {
      success: true,
      nodeId: node?.id ?? new Uint8Array(),
      newVersion: node?.version ?? 0n,
      vectorClock: { entries: node?.clock ?? {} },
      epoch: EPOCH,
      revision: this.revision,
    };
  }

  #snapshot(path: string) {
    this.#fail();
    const node = this.nodes.get(path);
    if (!node) {
      throw failure(Code.NotFound, "NotFound", `there is no node ${path}`, { resource: path });
    }
    return {
      nodeId: node.id,
      path,
      content: node.content,
      version: node.version,
      vectorClock: { entries: node.clock },
      changedRevision: node.revision,
      epoch: EPOCH,
      revision: this.revision,
      author: "someone",
      timestamp: timestampFromMs(1_000),
    };
  }

  #fail(): void {
    const next = this.failures.shift();
    if (next) throw next;
  }
}

/** A failed call with the details that the gateway sends. */
export function failure(
  code: Code,
  reason: string,
  message: string,
  metadata: Record<string, string> = {},
): ConnectError {
  const details = [
    { desc: ErrorInfoSchema, value: { reason, domain: "virtualdom.v1", metadata } },
    { desc: RequestInfoSchema, value: { requestId: "request-1" } },
  ];
  return new ConnectError(message, code, undefined, details);
}

function eventOf(node: Node, author: string): Init {
  return {
    path: node.path,
    nodeId: node.id,
    version: node.version,
    vectorClock: { entries: node.clock },
    author,
  };
}

function contentOf({ content }: Node, limitBytes: number) {
  return content.byteLength <= limitBytes ? { content } : { contentOmitted: true };
}

function sameClock(one: Record<string, bigint>, other: Record<string, bigint>): boolean {
  const text = (clock: Record<string, bigint>) =>
    Object.entries(clock)
      .map(([actor, count]) => `${actor}=${count}`)
      .sort()
      .join();
  return text(one) === text(other);
}
