// Receiving a server stream: given up when it falls silent, closed when its reader stops.

import { VdomError } from "./errors.js";

/**
 * The messages of the stream. Throws `Unavailable` when waiting for the next
 * one takes longer than `silenceMs`; the time its reader takes does not count.
 */
export async function* receive<T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  silenceMs: number,
  outer?: AbortSignal,
): AsyncGenerator<T, void, void> {
  const connection = new AbortController();
  const stop = () => connection.abort();
  if (outer?.aborted) stop();
  outer?.addEventListener("abort", stop);
  let silent = false;
  const giveUp = () => {
    silent = true;
    connection.abort();
  };
  try {
    const messages = open(connection.signal)[Symbol.asyncIterator]();
    for (;;) {
      const timer = setTimeout(giveUp, silenceMs);
      const next = await messages.next().finally(() => clearTimeout(timer));
      if (next.done) return;
      yield next.value;
    }
  } catch (thrown) {
    if (silent) throw new VdomError("Unavailable", "the server fell silent", {}, thrown);
    throw VdomError.from(thrown);
  } finally {
    outer?.removeEventListener("abort", stop);
    connection.abort();
  }
}
