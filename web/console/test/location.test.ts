// Deep links, and which gateway a link may name.

import { expect, test } from "vitest";
import { gatewayFrom, hashOf, placeFrom } from "../src/location.js";

test.each([
  { repo: "app", branch: "main", path: "" },
  { repo: "app", branch: "main", path: "src/lib.rs" },
  { repo: "app", branch: "feature/live", path: "a b/ü#?%.txt" },
])("%j survives the hash", (place) => {
  expect(placeFrom(hashOf(place))).toEqual(place);
});

test("a slash inside a branch is escaped", () => {
  expect(hashOf({ repo: "app", branch: "a/b", path: "c/d" })).toBe("#/app/a%2Fb/c/d");
});

test("an empty or broken hash names nothing, and does not throw", () => {
  expect(placeFrom("")).toEqual({ repo: "", branch: "", path: "" });
  expect(placeFrom("#/app/main/%zz")).toEqual({ repo: "app", branch: "main", path: "%zz" });
});

test.each([
  ["", "https://here"],
  ["?gateway=https://there:8443/", "https://there:8443"],
  ["?gateway=https://there/vdom/", "https://there/vdom"],
  ["?gateway=javascript:alert(1)", "https://here"],
  ["?gateway=nonsense", "https://here"],
])("%s speaks to %s", (search, gateway) => {
  expect(gatewayFrom({ origin: "https://here", search })).toBe(gateway);
});
