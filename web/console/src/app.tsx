// The page: who we speak to, which branch is open, and the panels that show it.

import { type BranchInfo, connect, type RepoInfo, VdomError } from "@vdom/sdk";
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { BranchView } from "./branch-view.js";
import { BranchPicker } from "./components/branch-picker.js";
import { ConnectionStatus } from "./components/connection-status.js";
import { Feed } from "./components/feed.js";
import { Logo } from "./components/icons.js";
import { NodePanel } from "./components/node-panel.js";
import { Problem } from "./components/problem.js";
import { TokenButton, TokenForm } from "./components/token.js";
import { TreePanel } from "./components/tree-panel.js";
import { gatewayFrom, type Place, usePlace } from "./location.js";
import { useObserved } from "./observable.js";
import { keepToken, tokenFor } from "./token-store.js";

const GATEWAY = gatewayFrom(location);
const NAMES_INTERVAL_MS = 15_000;

// One client for the page's life: a new token must not cost anyone a draft.
const gateway = connect({ baseUrl: GATEWAY, token: () => tokenFor(GATEWAY) });

export function App() {
  const [place, go] = usePlace();
  const [token, setToken] = useState(() => tokenFor(GATEWAY));
  const [attempt, setAttempt] = useState(0);
  const [askToken, setAskToken] = useState(false);
  const { repos, branches, error: listError } = useNames(place, go, attempt);
  const view = useObserved(useBranchView(place, attempt));
  // A token that may not list everything may still read the branch that a link names.
  const error = view && listError?.code !== "Unauthenticated" ? view.error : listError;
  const retry = useCallback(() => setAttempt((it) => it + 1), []);
  const open = useCallback((path: string) => go({ ...place, path }), [place, go]);

  useEffect(() => {
    const name = place.path.split("/").at(-1);
    const where = place.repo && `${place.repo} @ ${place.branch}`;
    document.title = [name, where, "vdom"].filter(Boolean).join(" · ");
  }, [place]);

  useEffect(() => {
    const warn = (event: BeforeUnloadEvent) => view?.hasDrafts && event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [view]);

  const signIn = (next: string) => {
    keepToken(GATEWAY, next);
    setToken(next || undefined);
    setAskToken(false);
    retry();
  };

  const unauthenticated = error?.code === "Unauthenticated";
  return (
    <>
      <header class="top">
        <Logo />
        <BranchPicker repos={repos} branches={branches} place={place} go={go} />
        <span class="grow" />
        {view && !error && <ConnectionStatus view={view} />}
        <TokenButton signedIn={token !== undefined} onClick={() => setAskToken(true)} />
      </header>
      {unauthenticated || askToken ? (
        <TokenForm
          gateway={GATEWAY}
          refused={unauthenticated && token !== undefined ? error.message : undefined}
          onSubmit={signIn}
          onCancel={unauthenticated ? undefined : () => setAskToken(false)}
        />
      ) : error ? (
        <Problem error={error} onRetry={retry} />
      ) : view ? (
        <main class="panels">
          <TreePanel view={view} selected={place.path} open={open} />
          <NodePanel key={place.path} view={view} path={place.path} />
          <Feed view={view} open={open} />
        </main>
      ) : (
        <Welcome repos={repos} />
      )}
    </>
  );
}

/** Before there is a branch to show. */
function Welcome({ repos }: { repos: RepoInfo[] | undefined }) {
  if (!repos) return <main class="center quiet">Asking the gateway…</main>;
  return (
    <main class="center">
      <h1>{repos.length === 0 ? "Nothing here yet" : "Choose a branch"}</h1>
      {repos.length === 0 && (
        <>
          <p class="quiet">The first write creates a repository. From a shell:</p>
          <pre class="sample">vdom import . --repo my-app</pre>
        </>
      )}
    </main>
  );
}

interface Names {
  repos?: RepoInfo[];
  branches?: BranchInfo[];
  error?: VdomError;
}

/** The repositories and branches there are; goes to the first where the hash names none. */
function useNames(place: Place, go: (place: Place) => void, attempt: number): Names {
  const [names, setNames] = useState<Names>({});
  useEffect(() => {
    const stop = new AbortController();
    const ask = async () => {
      const repos = await gateway.repos(stop.signal);
      const repo = place.repo || repos[0]?.name;
      const known = repos.some((it) => it.name === repo);
      const branches = repo && known ? await gateway.branches(repo, stop.signal) : [];
      setNames({ repos, branches });
      const branch = branches.find((it) => it.name === "main") ?? branches[0];
      if (repo && branch && !place.branch) go({ repo, branch: branch.name, path: "" });
    };
    const askAgain = () => {
      ask()
        .catch((thrown) => {
          if (!stop.signal.aborted) setNames((it) => ({ ...it, error: VdomError.from(thrown) }));
        })
        .finally(() => {
          if (!stop.signal.aborted) timer = setTimeout(askAgain, NAMES_INTERVAL_MS);
        });
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    askAgain();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [place.repo, place.branch, go, attempt]);
  return names;
}

/** The open branch; each attempt asks again whatever was refused. */
function useBranchView({ repo, branch }: Place, attempt: number): BranchView | undefined {
  const view = useMemo(
    () => (repo && branch ? new BranchView(gateway.branch(repo, branch)) : undefined),
    [repo, branch],
  );
  useEffect(() => {
    void view?.run();
    return () => view?.stop();
  }, [view, attempt]);
  return view;
}
