// The journey of a person with a browser: the console, direct and through Envoy.
//
// VDOM_HTTP        base URL of the gateway's HTTP port (required)
// VDOM_ENVOY       base URL of Envoy, a self-signed certificate is fine
// VDOM_SIDECAR     base URL of a sidecar: where "someone else" writes
// VDOM_TOKEN       bearer token, where the gateway wants one
// VDOM_REPO        repository whose branch `main` is looked at (default: journey)
// VDOM_EXPECT_DIR  directory whose files were imported into it
// VDOM_SCREENSHOTS directory for screenshots
// VDOM_CHROMIUM    the browser (default: /usr/bin/chromium)
//
// What cannot be tried is printed as `skipped: …` and is never counted as passed.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { pages } from "./console-page.mjs";
import { filesBelow } from "./files.mjs";
import { foreignSite } from "./foreign-site.mjs";
import { readAllInPage, readEachInPage } from "./in-page.mjs";
import { relayTo } from "./relay.mjs";

const settings = {
  http: required("VDOM_HTTP"),
  envoy: baseUrl(process.env.VDOM_ENVOY),
  sidecar: baseUrl(process.env.VDOM_SIDECAR),
  token: process.env.VDOM_TOKEN || undefined,
  repo: process.env.VDOM_REPO || "journey",
  expectDir: process.env.VDOM_EXPECT_DIR || undefined,
  screenshots: process.env.VDOM_SCREENSHOTS || undefined,
  chromium: process.env.VDOM_CHROMIUM || "/usr/bin/chromium",
};

/** For anything a person would call live. */
const LIVE_MS = 15_000;
/** How many files are also read by a call of their own. */
const SINGLE_READS = 500;

const counts = { passed: 0, failed: 0 };

async function step(name, reasonToSkip, run) {
  if (reasonToSkip) {
    console.log(`skipped: ${name}: ${reasonToSkip}`);
    return;
  }
  const started = performance.now();
  try {
    const said = await run();
    counts.passed += 1;
    const ms = Math.round(performance.now() - started);
    console.log(`passed: ${name}${said ? `: ${said}` : ""} (${ms} ms)`);
  } catch (error) {
    counts.failed += 1;
    console.error(`FAILED: ${name}\n${indented(error.stack ?? String(error))}`);
  }
}

/** Writes a node as someone else would: REST, at a sidecar where there is one. */
async function writeOutside(path, text) {
  const segments = path.split("/").map(encodeURIComponent).join("/");
  const base = settings.sidecar ?? settings.http;
  const url = `${base}/v1/repos/${encodeURIComponent(settings.repo)}/branches/main/nodes/${segments}`;
  const answer = await fetch(url, {
    method: "PUT",
    headers: {
      "content-type": "application/octet-stream",
      ...(settings.token && { authorization: `Bearer ${settings.token}` }),
    },
    body: text,
  }).catch((error) => assert.fail(`PUT ${url}: ${error.cause?.message ?? error.message}`));
  assert.ok(answer.ok, `PUT ${url}: ${answer.status} ${await answer.text()}`);
}

/** Compares what the page got for each file with the file's own hash. */
function compare(files, hashes) {
  const wrong = files
    .filter(({ path, sha256 }) => hashes[path] !== sha256)
    .map(({ path }) => `${path}: ${hashes[path] ?? "not there"}`);
  assert.deepEqual(wrong.slice(0, 10), [], `${wrong.length} of ${files.length} files differ`);
  return `${files.length} files`;
}

/** Reads files in the page, one call each. */
async function readBack(page, files) {
  const paths = files.map((file) => file.path);
  const { repo, token } = settings;
  return compare(files, await page.evaluate(readEachInPage, { repo, token, paths }));
}

/** Reads the whole branch in the page, one stream. */
async function readBackAll(page, files) {
  const { repo, token } = settings;
  return compare(files, await page.evaluate(readAllInPage, { repo, token }));
}

async function journeyAt(name, base, reasonToSkip, files) {
  const { repo, token } = settings;
  const skip = reasonToSkip;
  let page;
  const edited = `journey/${name}-edited.txt`;
  const outside = `journey/${name}-outside.txt`;

  await step(`${name}: the console loads and is live`, skip, async () => {
    await writeOutside(edited, "written outside\n");
    page = await open.console(base, { repo, path: edited, token });
    await page.waitUntilLive(LIVE_MS);
    assert.equal(await page.editorText(), "written outside\n");
    await page.screenshot(`${name}-console`);
  });
  const broken = skip ?? (page ? undefined : "the console did not load");

  await step(
    `${name}: every imported file reads back over gRPC-Web`,
    broken ?? (files.length === 0 ? "VDOM_EXPECT_DIR names no files" : undefined),
    () => readBackAll(page.page, files),
  );

  await step(
    `${name}: imported files read back one by one`,
    broken ?? (files.length === 0 ? "VDOM_EXPECT_DIR names no files" : undefined),
    () => readBack(page.page, spread(files, SINGLE_READS)),
  );

  await step(`${name}: an edit through the page is stored`, broken, async () => {
    const text = `edited in the page, ${new Date().toISOString()}\n`;
    await page.edit(text);
    await page.save();
    await page.waitForNotice(/^Saved as revision \d+$/, LIVE_MS);
    const sha256 = createHash("sha256").update(text).digest("hex");
    await readBack(page.page, [{ path: edited, sha256 }]);
    await page.screenshot(`${name}-saved`);
  });

  await step(`${name}: an edit made outside appears without reload`, broken, async () => {
    const mark = await page.markAgainstReload();
    const text = `made outside, ${new Date().toISOString()}\n`;
    await writeOutside(edited, text);
    await page.waitForEditorText(text, LIVE_MS);
    await writeOutside(outside, "new\n");
    await page.waitForTreeRow(outside, LIVE_MS);
    await page.waitForFeedEntry(outside, LIVE_MS);
    assert.equal(await page.markAgainstReload(), mark, "the page was loaded again");
    await page.screenshot(`${name}-live`);
  });

  await step(`${name}: a node is found and opened by keyboard alone`, broken, async () => {
    const before = await page.editorText();
    await page.openByKeyboard(outside);
    await page.waitForEditorText("new\n", LIVE_MS);
    await page.openByKeyboard(edited);
    await page.waitForHash(edited, LIVE_MS);
    await page.waitForEditorText(before, LIVE_MS);
  });

  await step(`${name}: a conflict shows both sides, and theirs can be taken`, broken, async () => {
    await page.edit("mine\n");
    await writeOutside(edited, "theirs\n");
    await page.save();
    await page.waitForConflict(["mine", "theirs"], LIVE_MS);
    await page.screenshot(`${name}-conflict`);
    await page.takeTheirs();
    await page.waitForEditorText("theirs\n", LIVE_MS);
  });

  await step(`${name}: a conflict can be overwritten`, broken, async () => {
    await page.edit("mine wins\n");
    await writeOutside(edited, "theirs again\n");
    await page.save();
    await page.waitForConflict(["mine wins", "theirs again"], LIVE_MS);
    await page.overwrite();
    await page.waitForNotice(/^Saved as revision \d+$/, LIVE_MS);
    const sha256 = createHash("sha256").update("mine wins\n").digest("hex");
    await readBack(page.page, [{ path: edited, sha256 }]);
  });

  await step(
    `${name}: a lost connection is shown, and what was missed arrives`,
    broken,
    async () => {
      const wire = await relayTo(base);
      const distant = await open.console(wire.base, { repo, path: edited, token });
      try {
        await distant.waitUntilLive(LIVE_MS);
        const mark = await distant.markAgainstReload();
        wire.cut();
        await distant.waitForState("waiting", LIVE_MS);
        await distant.screenshot(`${name}-cut-off`);
        const text = `written meanwhile, ${new Date().toISOString()}\n`;
        await writeOutside(edited, text);
        wire.mend();
        await distant.waitForEditorText(text, LIVE_MS);
        await distant.waitForState("live", LIVE_MS);
        assert.equal(await distant.markAgainstReload(), mark, "the page was loaded again");
      } finally {
        await distant.close();
        await wire.close();
      }
    },
  );

  await step(`${name}: a page of a forbidden origin is refused`, broken, async () => {
    const said = await foreign.call(open.browser, base, token);
    assert.match(said, /^refused/, `a foreign page was answered: ${said}`);
  });

  await step(`${name}: the page reported no error`, broken, () => {
    assert.deepEqual(page.errors, []);
  });
  await page?.close();
}

const browser = await chromium.launch({
  executablePath: settings.chromium,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
if (settings.screenshots) await mkdir(settings.screenshots, { recursive: true });
const open = pages(browser, settings.screenshots);
const foreign = await foreignSite();
try {
  const files = settings.expectDir ? await expectedFiles(settings.expectDir) : [];
  await journeyAt("direct", settings.http, undefined, files);
  const noEnvoy = settings.envoy ? undefined : "VDOM_ENVOY is not set";
  await journeyAt("envoy", settings.envoy, noEnvoy, files);
} finally {
  await foreign.close();
  await browser.close();
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;

async function expectedFiles(directory) {
  const files = [];
  for (const path of await filesBelow(directory)) {
    const sha256 = createHash("sha256")
      .update(await readFile(join(directory, path)))
      .digest("hex");
    files.push({ path: path.normalize("NFC"), sha256 });
  }
  return files;
}

/** `count` of the items, evenly spread over all of them. */
function spread(items, count) {
  const stride = Math.max(1, Math.floor(items.length / count));
  return items.filter((_, index) => index % stride === 0);
}

function required(name) {
  const url = baseUrl(process.env[name]);
  if (url) return url;
  console.error(`${name} must name a base URL, e.g. ${name}=http://127.0.0.1:8080`);
  process.exit(2);
}

function baseUrl(text) {
  return text ? text.replace(/\/+$/, "") : undefined;
}

function indented(text) {
  return text.replace(/^/gm, "  ");
}
