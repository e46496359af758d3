import { defaultClientConditions, defineConfig } from "vite";

export default defineConfig({
  base: "./",
  resolve: { conditions: ["source", ...defaultClientConditions] },
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: false,
    rolldownOptions: {
      input: { console: "index.html", "vdom-sdk": "src/sdk.ts" },
      preserveEntrySignatures: "exports-only",
      output: {
        // The client is part of what is served: other pages import it by this name.
        entryFileNames: (chunk) =>
          chunk.name === "vdom-sdk" ? "assets/vdom-sdk.js" : "assets/[name]-[hash].js",
      },
    },
  },
});
