// A watch that outlives its connections: ordered, unique, complete, atomic per
// change set, resumed by itself from the last resume point.

import { type Backoff, DEFAULT_BACKOFF, delay, pauseMs } from "./backoff.js";
import type { Channel } from "./channel.js";
import { decodeDiff } from "./diff.js";
import { VdomError } from "./errors.js";
import { type ChangeEvent, ChangeEvent_Type as Type } from "./gen/virtualdom/v1/dom_pb.js";
import { receive } from "./receive.js";
import type { Change, ConnectionState, Position, Progress, WatchEvent } from "./types.js";
import { clockFrom, dateFrom, freshnessFrom, hex, kindFrom, numberFrom } from "./wire.js";

export interface WatchOptions {
  /** Whole segments: `lib` is the node `lib` and all below `lib/`. Empty: the whole branch. */
  paths?: readonly string[] | undefined;
  /** Every change after this, or every one that is kept; without it, every change from now on. */
  from?: Position | "earliest" | undefined;
  /** Carry the diffs themselves, up to 1 MiB each. */
  includeDiffs?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onConnection?: ((state: ConnectionState) => void) | undefined;
  backoff?: Backoff | undefined;
  /** A connection that is silent for so long is given up; the server speaks every second. */
  silenceMs?: number | undefined;
}

const SILENCE_MS = 10_000;

export async function* watchBranch(
  channel: Channel,
  repo: string,
  branch: string,
  options: WatchOptions = {},
): AsyncGenerator<WatchEvent, void, void> {
  const { signal, onConnection, backoff = DEFAULT_BACKOFF } = options;
  let from = options.from === "earliest" ? undefined : options.from;
  for (let attempt = 1; ; attempt += 1) {
    if (signal?.aborted) return;
    onConnection?.({ state: "connecting", attempt });
    const request = {
      repo,
      branch,
      realm: channel.realm,
      paths: [...(options.paths ?? [])],
      fromEpoch: BigInt(from?.epoch ?? 0),
      fromRevision: BigInt(from?.revision ?? 0),
      fromHash: from?.hash ?? new Uint8Array(),
      fromEarliest: options.from === "earliest" && from === undefined,
      includeDiffs: options.includeDiffs ?? false,
    };
    const events = receive(
      (connection) => channel.client.subscribeChanges(request, { signal: connection }),
      options.silenceMs ?? SILENCE_MS,
      signal,
    );
    let failure = new VdomError("Unavailable", "the server ended the stream");
    try {
      let live = false;
      for await (const event of wholeChangeSets(events)) {
        if (!live) {
          live = true;
          attempt = 0;
          onConnection?.({ state: "live" });
        }
        from = (event.type === "progress" ? event.position : event.resume) ?? from;
        yield event;
      }
    } catch (thrown) {
      failure = VdomError.from(thrown);
    }
    if (signal?.aborted) return;
    const { message, details } = failure;
    if (failure.code === "EpochChanged") {
      yield { type: "epochChanged", message, epoch: details.epoch };
      return;
    }
    if (failure.code === "Compacted") {
      yield { type: "compacted", message, oldestRevision: details.oldestRevision };
      return;
    }
    if (!failure.retryable) throw failure;
    const retryInMs = details.retryAfterMs ?? pauseMs(Math.max(attempt, 1), backoff);
    onConnection?.({ state: "waiting", attempt, retryInMs, reason: message });
    try {
      await delay(retryInMs, signal);
    } catch {
      return;
    }
  }
}

/**
 * Holds the events of a change set back until the set is complete, so that a
 * connection lost in its middle never shows half of it. With a path filter its
 * last event may not be ours: then a later revision or a progress event tells.
 */
async function* wholeChangeSets(
  stream: AsyncIterable<ChangeEvent>,
): AsyncGenerator<Change | Progress> {
  let held: ChangeEvent[] = [];
  for await (const event of stream) {
    const last = held.at(-1);
    const progress = event.type === Type.PROGRESS;
    if (last && event.revision >= lastRevisionOf(last) + (progress ? 0n : 1n)) {
      yield* released(held);
      held = [];
    }
    if (progress) {
      // Inside a set the revision is no resume point.
      if (held.length > 0) continue;
      yield {
        type: "progress",
        position: positionOf(event, event.revision, event.hash),
        freshness: freshnessFrom(event.freshness),
      };
    } else {
      held.push(event);
      if (event.revision === lastRevisionOf(event)) {
        yield* released(held);
        held = [];
      }
    }
  }
}

function* released(events: readonly ChangeEvent[]): Generator<Change> {
  for (const [index, event] of events.entries()) {
    const end = lastRevisionOf(event);
    const hash = event.revision === end ? event.hash : new Uint8Array();
    const resume = index === events.length - 1 ? positionOf(event, end, hash) : undefined;
    yield changeFrom(event, resume);
  }
}

/** The last revision of the change set that the event belongs to, or its own. */
function lastRevisionOf(event: ChangeEvent): bigint {
  const set = event.changeSet;
  return set && set.size > 0 ? event.revision + BigInt(set.size - 1 - set.index) : event.revision;
}

function positionOf(event: ChangeEvent, revision: bigint, hash: Uint8Array): Position {
  return {
    epoch: numberFrom(event.epoch),
    revision: numberFrom(revision),
    hash: hash.byteLength > 0 ? hash : undefined,
  };
}

export function changeFrom(event: ChangeEvent, resume: Position | undefined): Change {
  return {
    type: typeFrom(event.type),
    path: event.path,
    oldPath: event.oldPath || undefined,
    nodeId: event.nodeId,
    kind: kindFrom(event.kind),
    version: numberFrom(event.version),
    clock: clockFrom(event.vectorClock),
    epoch: numberFrom(event.epoch),
    revision: numberFrom(event.revision),
    author: event.author,
    actor: event.actor,
    message: event.message,
    time: dateFrom(event.timestamp),
    metadata: event.metadata,
    diff: event.diffBson.byteLength > 0 ? decodeDiff(event.diffBson) : undefined,
    changeSet: event.changeSet && {
      id: hex(event.changeSet.id),
      index: event.changeSet.index,
      size: event.changeSet.size,
    },
    resume,
  };
}

function typeFrom(type: Type): Change["type"] {
  switch (type) {
    case Type.CREATE:
      return "create";
    case Type.DELETE:
      return "delete";
    case Type.RENAME:
      return "rename";
    default:
      return "update";
  }
}
