// The client as a module of its own, for pages that need no build: `/assets/vdom-sdk.js`.

export * from "@vdom/sdk";
