// A refusal or failure, with what is needed to ask about it.

import type { VdomError } from "@vdom/sdk";

export function Problem({ error, onRetry }: { error: VdomError; onRetry: () => void }) {
  const { resource, rule, requestId } = error.details;
  return (
    <main class="center">
      <div role="alert">
        <h1>{TITLES[error.code] ?? "That did not work"}</h1>
        <p>{error.message}</p>
      </div>
      <dl class="facts">
        <Fact name="code" value={error.code} />
        <Fact name="resource" value={resource} />
        <Fact name="rule" value={rule} />
        <Fact name="request" value={requestId} />
      </dl>
      <button type="button" class="primary" onClick={onRetry}>
        Try again
      </button>
    </main>
  );
}

function Fact({ name, value }: { name: string; value: string | undefined }) {
  return value ? (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  ) : null;
}

const TITLES: Partial<Record<VdomError["code"], string>> = {
  NotFound: "There is no such branch",
  PermissionDenied: "This is not yours to see",
  Unavailable: "The gateway cannot be reached",
};
