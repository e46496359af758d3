// Where the page is: the hash names repo, branch and path; the query may name a gateway.

import { useEffect, useState } from "preact/hooks";

export interface Place {
  readonly repo: string;
  readonly branch: string;
  readonly path: string;
}

/** `#/repo/branch/path`; a slash inside the branch is `%2F`. */
export function placeFrom(hash: string): Place {
  const [repo = "", branch = "", ...path] = hash
    .replace(/^#?\/?/, "")
    .split("/")
    .map(decoded);
  return { repo, branch, path: path.join("/") };
}

export function hashOf({ repo, branch, path }: Place): string {
  const segments = [repo, branch, ...path.split("/")].map(encodeURIComponent);
  return `#/${segments.join("/")}`.replace(/\/+$/, "");
}

/** The gateway to speak to: `?gateway=`, else where the page came from. */
export function gatewayFrom(location: Pick<Location, "origin" | "search">): string {
  const named = new URLSearchParams(location.search).get("gateway");
  if (!named || !URL.canParse(named)) return location.origin;
  const { protocol, origin, pathname } = new URL(named);
  return protocol === "https:" || protocol === "http:"
    ? origin + pathname.replace(/\/+$/, "")
    : location.origin;
}

export function usePlace(): [Place, (place: Place) => void] {
  const [place, setPlace] = useState(() => placeFrom(location.hash));
  useEffect(() => {
    const follow = () => setPlace(placeFrom(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return [place, go];
}

function go(place: Place): void {
  location.hash = hashOf(place);
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
