// The gRPC-Web libraries that others use, in a page of the server's own origin, and with
// nothing generated: `@connectrpc/connect-web` and `grpc-web`.
//
// VDOM_SERVERS     servers as JSON (required): of each the base URLs `http` and `admin`, and
//                  `repo`, a new repository in which each library writes a branch
// VDOM_DESCRIPTORS file with the contract as a FileDescriptorSet (required)
// VDOM_TOKEN       bearer token that may write
// VDOM_CHROMIUM    the browser (default: /usr/bin/chromium)

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { chromium } from "playwright-core";

const { VDOM_SERVERS, VDOM_DESCRIPTORS, VDOM_TOKEN, VDOM_CHROMIUM } = process.env;
assert.ok(VDOM_SERVERS && VDOM_DESCRIPTORS, "VDOM_SERVERS and VDOM_DESCRIPTORS must be set");

/** Below the server's own origin, but answered from files here. */
const FOLDER = "/browser-test/";
const WITHIN_MS = 15_000;

const imports = Object.fromEntries(
  [
    ["@bufbuild/protobuf", "", "dist/esm/index.js"],
    ["@bufbuild/protobuf", "/codegenv2", "dist/esm/codegenv2/index.js"],
    ["@bufbuild/protobuf", "/wire", "dist/esm/wire/index.js"],
    ["@bufbuild/protobuf", "/wkt", "dist/esm/wkt/index.js"],
    ["@connectrpc/connect", "", "dist/esm/index.js"],
    ["@connectrpc/connect", "/protocol", "dist/esm/protocol/index.js"],
    ["@connectrpc/connect", "/protocol-connect", "dist/esm/protocol-connect/index.js"],
    ["@connectrpc/connect", "/protocol-grpc-web", "dist/esm/protocol-grpc-web/index.js"],
    ["@connectrpc/connect-web", "", "dist/esm/index.js"],
    ["grpc-web", "", "index.esm.js"],
  ].map(([name, part, file]) => [name + part, `./node_modules/${name}/${file}`]),
);
const PAGE = `<!doctype html><title>libraries</title>
<script type="importmap">${JSON.stringify({ imports })}</script>`;

const counts = { passed: 0, failed: 0 };

async function step(name, run) {
  const started = performance.now();
  try {
    await run();
    counts.passed += 1;
    console.log(`passed: ${name} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    counts.failed += 1;
    console.error(`FAILED: ${name}\n${error.stack ?? error}`);
  }
}

async function serve(route) {
  const path = new URL(route.request().url()).pathname.slice(FOLDER.length);
  if (path === "") return await route.fulfill({ contentType: "text/html", body: PAGE });
  if (path === "descriptors") return await route.fulfill({ path: VDOM_DESCRIPTORS });
  const body = await readFile(join(import.meta.dirname, path));
  await route.fulfill({ contentType: "text/javascript", body });
}

/** How many requests the server is answering. */
async function inFlight(admin) {
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  const line = /^vdom_requests_in_flight (\d+)$/m.exec(metrics);
  assert.ok(line, "no metric says how many requests are in flight");
  return Number(line[1]);
}

async function tryLibraries(browser, { http, admin, repo }) {
  const before = await inFlight(admin);
  const page = await browser.newPage();
  await page.route(`${http}${FOLDER}**`, serve);
  await page.goto(http + FOLDER);
  for (const library of ["connect-web", "grpc-web"]) {
    const names = await page.evaluate(
      async ({ module, settings }) => {
        const { checks } = await import(module);
        globalThis.checks = await checks(settings);
        return Object.keys(globalThis.checks);
      },
      {
        module: `${FOLDER}libraries/${library}.mjs`,
        settings: { descriptors: `${FOLDER}descriptors`, token: VDOM_TOKEN, repo },
      },
    );
    for (const name of names) {
      await step(`${repo}: ${library}: ${name}`, () =>
        Promise.race([
          page.evaluate((name) => globalThis.checks[name](), name),
          pause(WITHIN_MS, undefined, { ref: false }).then(() => assert.fail("it takes too long")),
        ]),
      );
    }
  }
  await step(`${repo}: what the page cancelled has ended at the server`, async () => {
    const until = Date.now() + WITHIN_MS;
    while ((await inFlight(admin)) > before) {
      assert.ok(Date.now() < until, "it goes on");
      await pause(20);
    }
  });
  await page.close();
}

const browser = await chromium.launch({
  executablePath: VDOM_CHROMIUM || "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
try {
  for (const server of JSON.parse(VDOM_SERVERS)) await tryLibraries(browser, server);
} finally {
  await browser.close();
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
