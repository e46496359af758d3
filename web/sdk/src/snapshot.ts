// One node with its content, as of one position.

import type { Document } from "bson";
import { decodeDocument } from "./diff.js";
import { VdomError } from "./errors.js";
import type { ReadSnapshotResponse } from "./gen/virtualdom/v1/dom_pb.js";
import type { Clock, Freshness, NodeKind, Position, Seen } from "./types.js";
import { clockFrom, dateFrom, freshnessFrom, kindFrom, numberFrom, textFrom } from "./wire.js";

export class Snapshot implements Seen {
  readonly path: string;
  readonly nodeId: Uint8Array;
  readonly kind: NodeKind;
  /** The bytes of a file, or a BSON document. */
  readonly content: Uint8Array;
  /** How many changes the node has had. */
  readonly version: number;
  readonly clock: Clock;
  /** What the answer is as of. */
  readonly position: Position;
  /** The revision at which the node last changed. */
  readonly changedRevision: number;
  readonly author: string;
  readonly time: Date | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly freshness: Freshness | undefined;

  constructor(response: ReadSnapshotResponse, content: Uint8Array = response.content) {
    this.path = response.path;
    this.nodeId = response.nodeId;
    this.kind = kindFrom(response.kind);
    this.content = content;
    this.version = numberFrom(response.version);
    this.clock = clockFrom(response.vectorClock);
    this.position = {
      epoch: numberFrom(response.epoch),
      revision: numberFrom(response.revision),
    };
    this.changedRevision = numberFrom(response.changedRevision);
    this.author = response.author;
    this.time = dateFrom(response.timestamp);
    this.attributes = response.attributes;
    this.metadata = response.metadata;
    this.freshness = freshnessFrom(response.freshness);
  }

  /** The content as text. Throws `FailedPrecondition` when it is not UTF-8. */
  text(): string {
    const text = this.kind === "file" ? textFrom(this.content) : undefined;
    if (text === undefined) {
      throw new VdomError(
        "FailedPrecondition",
        `${this.path} is not UTF-8 text: read its bytes or its document instead`,
        { resource: this.path },
      );
    }
    return text;
  }

  /** The content as a document. Throws `FailedPrecondition` for a file. */
  document(): Document {
    if (this.kind === "file") {
      throw new VdomError("FailedPrecondition", `${this.path} is a file, not a document`, {
        resource: this.path,
      });
    }
    return decodeDocument(this.content);
  }
}
