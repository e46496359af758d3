// The one error that this client throws, and how it is read from a failed call.

import { Code, ConnectError } from "@connectrpc/connect";
import {
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";

const ERROR_DOMAIN = "virtualdom.v1";

/** The closed list of codes a call can fail with. `Canceled` is the caller's own doing. */
export const ERROR_CODES = [
  "InvalidArgument",
  "Unauthenticated",
  "PermissionDenied",
  "NotFound",
  "AlreadyExists",
  "Conflict",
  "FailedPrecondition",
  "EpochChanged",
  "TooLarge",
  "Exhausted",
  "Lagged",
  "Compacted",
  "Unavailable",
  "DeadlineExceeded",
  "Unimplemented",
  "Internal",
  "DataLoss",
  "Canceled",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** What a failed call says beside its code and message; absent where the server did not say. */
export interface VdomErrorDetails {
  /** What the call was about: a realm, repo, branch, node. */
  resource?: string | undefined;
  /** The epoch that the branch is in now. */
  epoch?: number | undefined;
  /** The revision the message speaks of: the head, or where to resume. */
  revision?: number | undefined;
  /** Of `Compacted`: the oldest revision still kept. */
  oldestRevision?: number | undefined;
  /** The rule that denied. */
  rule?: string | undefined;
  /** How long to wait before trying again. */
  retryAfterMs?: number | undefined;
  /** Names the call in the server's log. */
  requestId?: string | undefined;
}

export class VdomError extends Error {
  override readonly name = "VdomError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: VdomErrorDetails = {},
    cause?: unknown,
  ) {
    super(message, { cause });
  }

  /** True when the same call may well succeed later. */
  get retryable(): boolean {
    return this.code === "Unavailable" || this.code === "Lagged";
  }

  /** Whatever was thrown, as a `VdomError`. */
  static from(thrown: unknown): VdomError {
    if (thrown instanceof VdomError) return thrown;
    // Whatever fails in a call comes as a `ConnectError`; the rest is a fault of ours.
    if (!(thrown instanceof ConnectError)) {
      const text = thrown instanceof Error ? thrown.message : String(thrown);
      return new VdomError("Internal", text, {}, thrown);
    }
    const info = thrown.findDetails(ErrorInfoSchema).find((it) => it.domain === ERROR_DOMAIN);
    const delay = thrown.findDetails(RetryInfoSchema)[0]?.retryDelay;
    const metadata = info?.metadata ?? {};
    const code = ERROR_CODES.find((it) => it === info?.reason) ?? codeOf(thrown);
    // Browsers say no more than "Failed to fetch": not even where.
    const message = isNetworkFailure(thrown)
      ? `the gateway cannot be reached (${thrown.rawMessage})`
      : thrown.rawMessage;
    return new VdomError(
      code,
      message,
      {
        resource: metadata.resource,
        epoch: numberOf(metadata.epoch),
        revision: numberOf(metadata.revision),
        oldestRevision: numberOf(metadata.oldest_revision),
        rule: metadata.rule,
        retryAfterMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
        requestId:
          thrown.findDetails(RequestInfoSchema)[0]?.requestId ??
          thrown.metadata.get("x-request-id") ??
          undefined,
      },
      thrown,
    );
  }
}

/** A refused connection, a response cut off before its trailer: no status of the server's. */
function isNetworkFailure(error: ConnectError): boolean {
  return error.code === Code.Unknown && !error.metadata.has("grpc-status");
}

function codeOf(error: ConnectError): ErrorCode {
  switch (error.code) {
    case Code.Canceled:
      return "Canceled";
    case Code.InvalidArgument:
      return "InvalidArgument";
    case Code.DeadlineExceeded:
      return "DeadlineExceeded";
    case Code.NotFound:
      return "NotFound";
    case Code.AlreadyExists:
      return "AlreadyExists";
    case Code.PermissionDenied:
      return "PermissionDenied";
    case Code.ResourceExhausted:
      return "Exhausted";
    case Code.FailedPrecondition:
      return "FailedPrecondition";
    case Code.Aborted:
      return "Conflict";
    case Code.OutOfRange:
      return "Compacted";
    case Code.Unimplemented:
      return "Unimplemented";
    case Code.Unavailable:
      return "Unavailable";
    case Code.DataLoss:
      return "DataLoss";
    case Code.Unauthenticated:
      return "Unauthenticated";
    case Code.Unknown:
      return isNetworkFailure(error) ? "Unavailable" : "Internal";
    default:
      return "Internal";
  }
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
