// What every call of this client shares: transport, token, realm, deadline, repetition.

import {
  type CallOptions,
  type Client,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { DEFAULT_BACKOFF, delay, pauseMs } from "./backoff.js";
import { VdomError } from "./errors.js";
import { MemoryGateway } from "./gen/virtualdom/v1/dom_pb.js";
import { receive } from "./receive.js";

/** A bearer token, or where to get the current one; asked for anew with every call. */
export type TokenSource = string | (() => string | undefined | Promise<string | undefined>);

export interface ConnectOptions {
  /** Where the gateway, a sidecar or Envoy answers, e.g. `https://vdom.example`. */
  baseUrl: string;
  token?: TokenSource | undefined;
  /** Empty: the realm of the token. */
  realm?: string | undefined;
  /** Deadline of a call; of a stream that ends by itself, how long it may be silent. */
  timeoutMs?: number | undefined;
}

const TIMEOUT_MS = 30_000;
const ATTEMPTS = 4;

export class Channel {
  readonly client: Client<typeof MemoryGateway>;
  readonly realm: string;
  readonly #timeoutMs: number;

  constructor(transport: Transport, options: Pick<ConnectOptions, "realm" | "timeoutMs">) {
    this.client = createClient(MemoryGateway, transport);
    this.realm = options.realm ?? "";
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  /**
   * A call that is no stream. Repeated while the answer is `Unavailable`: reads
   * are safe to repeat, and every write carries an operation id.
   */
  async call<T>(
    send: (client: Client<typeof MemoryGateway>, options: CallOptions) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const options: CallOptions = { timeoutMs: this.#timeoutMs, ...(signal && { signal }) };
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await send(this.client, options);
      } catch (thrown) {
        const error = VdomError.from(thrown);
        if (error.code !== "Unavailable" || attempt === ATTEMPTS) throw error;
        await delay(error.details.retryAfterMs ?? pauseMs(attempt, DEFAULT_BACKOFF), signal);
      }
    }
  }

  /** A stream that ends by itself, as it comes. */
  stream<T>(
    open: (client: Client<typeof MemoryGateway>, options: CallOptions) => AsyncIterable<T>,
    signal?: AbortSignal,
  ): AsyncGenerator<T, void, void> {
    return receive(
      (connection) => open(this.client, { signal: connection }),
      this.#timeoutMs,
      signal,
    );
  }

  /** All of it, from the start again if it breaks. */
  async collect<T>(
    open: (client: Client<typeof MemoryGateway>, options: CallOptions) => AsyncIterable<T>,
    signal?: AbortSignal,
  ): Promise<T[]> {
    return await this.call(async () => {
      const messages: T[] = [];
      for await (const message of this.stream(open, signal)) messages.push(message);
      return messages;
    }, signal);
  }
}

export function grpcWebTransport(options: ConnectOptions): Transport {
  return createGrpcWebTransport({
    baseUrl: options.baseUrl,
    interceptors: options.token === undefined ? [] : [bearer(options.token)],
  });
}

function bearer(source: TokenSource): Interceptor {
  return (next) => async (request) => {
    const token = typeof source === "function" ? await source() : source;
    if (token) request.header.set("authorization", `Bearer ${token}`);
    return await next(request);
  };
}
