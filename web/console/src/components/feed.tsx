// The change feed: what happened on the branch, newest first, as it happens.

import type { Change } from "@vdom/sdk";
import { useEffect, useState } from "preact/hooks";
import type { BranchView } from "../branch-view.js";
import { keyOf } from "../change-feed.js";
import * as format from "../format.js";
import { FLASH_MS } from "../tree-model.js";
import { VirtualList } from "./virtual-list.js";

const ROW_HEIGHT = 50;
const TICK_MS = 5_000;

export function Feed({ view, open }: { view: BranchView; open: (path: string) => void }) {
  const now = useClock();
  const { entries } = view.feed;
  return (
    <section class="panel feed" aria-label="Changes">
      <div class="panel-head">
        <h2>Changes</h2>
      </div>
      {view.feedError && (
        <p class="empty quiet">Earlier changes cannot be shown: {view.feedError.message}</p>
      )}
      {entries.length > 0 ? (
        <VirtualList
          class="rows"
          role="feed"
          aria-label="Changes, newest first"
          tabIndex={0}
          items={entries}
          rowHeight={ROW_HEIGHT}
          row={({ change, arrivedMs }, index) => (
            <FeedRow
              key={keyOf(change)}
              position={index + 1}
              all={entries.length}
              change={change}
              fresh={arrivedMs !== undefined && performance.now() - arrivedMs < FLASH_MS}
              now={now}
              open={open}
            />
          )}
        />
      ) : (
        <p class="empty quiet">No changes yet.</p>
      )}
    </section>
  );
}

const VERBS = { create: "created", update: "changed", delete: "deleted", rename: "renamed" };

interface RowProps {
  change: Change;
  position: number;
  all: number;
  fresh: boolean;
  now: number;
  open: (path: string) => void;
}

function FeedRow({ change, position, all, fresh, now, open }: RowProps) {
  const { type, path, oldPath, author, revision, time, changeSet } = change;
  const slash = path.lastIndexOf("/") + 1;
  return (
    <article
      aria-posinset={position}
      aria-setsize={all}
      class="change"
      data-type={type}
      data-fresh={fresh}
      data-revision={revision}
      data-path={path}
    >
      <span class="mark" aria-hidden="true" />
      <div class="what">
        <button
          type="button"
          class="path"
          title={oldPath ? `${oldPath} → ${path}` : path}
          onClick={() => open(path)}
        >
          <span class="folder">{path.slice(0, slash)}</span>
          <span class="leaf">{path.slice(slash)}</span>
        </button>
        <div class="who quiet">
          <span class="verb">{VERBS[type]}</span> by <b>{author || "unknown"}</b>
          {changeSet && ` · ${changeSet.index + 1} of ${changeSet.size}`}
        </div>
      </div>
      <div class="when quiet">
        <span>r{revision}</span>
        {time && (
          <time dateTime={time.toISOString()} title={format.moment(time)}>
            {format.ago(time, now)}
          </time>
        )}
      </div>
    </article>
  );
}

function useClock(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  // Times of changes that came since the last tick must not lie in the future.
  return Math.max(now, Date.now());
}
