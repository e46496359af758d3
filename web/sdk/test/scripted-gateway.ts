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
  type SubscribeRequest,
  ChangeEvent_Type as Type,
  type WriteDiffRequest,
} from "../src/gen/virtualdom/v1/dom_pb.js";

type Init = MessageInitShape<typeof ChangeEventSchema>;

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
        listBranches: () => {
          this.#fail();
          return { branches: [{ name: "main", epoch: EPOCH, revision: this.revision }] };
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

  #write(request: WriteDiffRequest) {
    this.writes.push(request);
    this.#fail();
    const diff = decodeDiff(request.diffBson);
    const node = this.nodes.get(request.path);
    const seen = request.vectorClock?.entries ?? {};
    const current = node?.clock ?? {};
    if (!sameClock(seen, current)) {
      const reason = !node
        ? Reason.DELETED
        : Object.keys(seen).length === 0
          ? Reason.PATH_EXISTS
          : Reason.STALE_CLOCK;
      return {
        success: false,
        conflict: {
          reason,
          path: request.path,
          nodeId: node?.id ?? request.nodeId,
          currentClock: { entries: current },
          currentContent: node?.content ?? new Uint8Array(),
          currentAuthor: "someone",
          baseMissing: true,
          epoch: EPOCH,
          revision: this.revision,
        },
      };
    }
    if (diff?.t === "delete") this.delete(request.path);
    else if (diff?.t === "put" && diff.v instanceof Uint8Array) {
      this.put(request.path, new TextDecoder().decode(diff.v), "me");
    } else throw new Error(`not scripted: ${diff?.t}`);
    const after = this.nodes.get(request.path);
    return {
      success: true,
      nodeId: after?.id ?? node?.id ?? new Uint8Array(),
      newVersion: after?.version ?? 0n,
      vectorClock: { entries: after?.clock ?? {} },
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
