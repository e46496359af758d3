// Which repository and branch is open.

import type { BranchInfo, RepoInfo } from "@vdom/sdk";
import type { Place } from "../location.js";

interface Props {
  repos: RepoInfo[] | undefined;
  branches: BranchInfo[] | undefined;
  place: Place;
  go: (place: Place) => void;
}

export function BranchPicker({ repos, branches, place, go }: Props) {
  const repoNames = withNamed(repos?.map((it) => it.name) ?? [], place.repo);
  const branchNames = withNamed(branches?.map((it) => it.name) ?? [], place.branch);
  return (
    <nav class="picker" aria-label="Branch">
      <select
        aria-label="Repository"
        value={place.repo}
        onChange={(event) => go({ repo: event.currentTarget.value, branch: "", path: "" })}
      >
        {!place.repo && <option value="">repository</option>}
        {repoNames.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <span class="quiet" aria-hidden="true">
        /
      </span>
      <select
        aria-label="Branch"
        value={place.branch}
        onChange={(event) => go({ ...place, branch: event.currentTarget.value })}
      >
        {!place.branch && <option value="">branch</option>}
        {branchNames.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </nav>
  );
}

/** A link may name what is not listed; it is shown as what it is. */
function withNamed(names: string[], named: string): string[] {
  return !named || names.includes(named) ? names : [...names, named];
}
