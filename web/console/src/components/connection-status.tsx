// Whether the page is live, where the branch stands, and how sure that is.

import { useEffect, useState } from "preact/hooks";
import type { BranchView } from "../branch-view.js";
import * as format from "../format.js";

/** Progress comes every second: a head that was not confirmed for longer is worth a warning. */
const FRESH_MS = 3_000;
const TICK_MS = 500;

export function ConnectionStatus({ view }: { view: BranchView }) {
  const now = useNow();
  const { connection, head, freshness } = view;
  const ageMs = view.ageMs(now);
  const live = connection.state === "live";
  const stale = live && (freshness?.stale || (ageMs !== undefined && ageMs > FRESH_MS));
  const state = live ? (stale ? "stale" : "live") : connection.state;
  const words = {
    live: "Live",
    stale: "Not confirmed",
    connecting: "Connecting",
    waiting: "Reconnecting",
  }[state];
  const detail =
    connection.state === "waiting"
      ? `${connection.reason}; trying again in ${format.duration(connection.retryInMs)}`
      : undefined;
  return (
    <div class="status" data-state={state}>
      <span class="state" role="status" title={detail}>
        <span class="lamp" aria-hidden="true" />
        {words}
      </span>
      {head && (
        <dl>
          <div>
            <dt>revision</dt>
            <dd data-testid="head">{format.count(head.revision)}</dd>
          </div>
          <div class="optional" title={`Began ${format.moment(new Date(head.epoch))}`}>
            <dt>epoch</dt>
            <dd>{head.epoch}</dd>
          </div>
          <div>
            <dt>confirmed</dt>
            <dd class="age">{ageMs === undefined ? "–" : `${confirmed(ageMs)} ago`}</dd>
          </div>
        </dl>
      )}
    </div>
  );
}

/** Whole seconds once there are any, so that the figure does not flicker. */
function confirmed(ageMs: number): string {
  return ageMs < 1_500
    ? "1 s"
    : ageMs < 60_000
      ? `${Math.round(ageMs / 1000)} s`
      : format.duration(ageMs);
}

function useNow(): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}
