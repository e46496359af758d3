// The console as its reader meets it: what can be seen, typed and pressed.

import assert from "node:assert/strict";
import { join } from "node:path";

export function pages(browser, screenshots) {
  return {
    browser,
    /** Opens a node of `main` in the console served at `base`. */
    async console(base, { repo, path, token }) {
      const context = await browser.newContext({
        ignoreHTTPSErrors: true,
        viewport: { width: 1440, height: 900 },
      });
      const page = await context.newPage();
      const opened = new ConsolePage(page, screenshots);
      const hash = ["", repo, "main", ...path.split("/")].map(encodeURIComponent).join("/");
      await page.goto(`${base}/#${hash}`);
      if (token) await opened.signIn(token);
      return opened;
    },
  };
}

class ConsolePage {
  errors = [];

  constructor(page, screenshots) {
    this.page = page;
    this.screenshots = screenshots;
    page.on("pageerror", (error) => this.errors.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") this.errors.push(message.text());
    });
  }

  async signIn(token) {
    await this.page.getByLabel("Token", { exact: true }).fill(token);
    await this.page.getByRole("button", { name: "Use this token" }).click();
    await this.page.getByRole("tree").waitFor();
    // Having been asked for a token is no error of the page.
    this.errors.length = 0;
  }

  async waitUntilLive(timeout) {
    await this.waitForState("live", timeout);
    await this.#editor.waitFor({ timeout });
    const head = await this.page.getByTestId("head").textContent();
    assert.match(head, /^[\d,]+$/, "the head revision is shown");
  }

  /** The state of the connection as the page shows it: connecting, live, stale, waiting. */
  async waitForState(state, timeout) {
    await this.page.locator(`[data-state="${state}"]`).waitFor({ timeout });
  }

  async editorText() {
    return await this.#editor.inputValue();
  }

  async edit(text) {
    await this.#editor.fill(text);
  }

  async save() {
    await this.#editor.press("Control+s");
  }

  async waitForNotice(pattern, timeout) {
    await this.page.locator(".said").filter({ hasText: pattern }).waitFor({ timeout });
  }

  async waitForEditorText(text, timeout) {
    await this.page
      .waitForFunction((wanted) => document.querySelector("textarea")?.value === wanted, text, {
        timeout,
      })
      .catch(async (error) => {
        const shown = (await this.#editor.count()) ? await this.editorText() : "no edit box";
        throw new Error(`waited for ${JSON.stringify(text)}, the page shows ${shown}`, {
          cause: error,
        });
      });
  }

  async waitForTreeRow(path, timeout) {
    await this.page.locator(`[role=treeitem][data-path="${path}"]`).waitFor({ timeout });
  }

  /** `/`, the path, and from the list of matches Enter. */
  async openByKeyboard(path) {
    const tree = this.page.getByRole("tree");
    // Leaves the field that was written to, where `/` is a letter.
    await tree.focus();
    await this.page.locator("body").press("/");
    const filter = this.page.getByLabel("Filter paths");
    await filter.fill(path);
    await filter.press("ArrowDown");
    await tree.press("Home");
    await tree.press("Enter");
    await filter.press("Escape");
  }

  async waitForHash(path, timeout) {
    await this.page.waitForURL((url) => decodeURIComponent(url.hash).endsWith(`/${path}`), {
      timeout,
    });
  }

  async waitForFeedEntry(path, timeout) {
    await this.page.locator(`.change[data-path="${path}"]`).first().waitFor({ timeout });
  }

  async waitForConflict(texts, timeout) {
    const conflict = this.page.getByTestId("conflict");
    await conflict.waitFor({ timeout });
    for (const text of texts) await conflict.getByText(text, { exact: true }).waitFor({ timeout });
  }

  async takeTheirs() {
    await this.page.getByRole("button", { name: "Reload theirs" }).click();
  }

  async overwrite() {
    await this.page.getByRole("button", { name: "Overwrite with yours" }).click();
  }

  /** A value that a reload would lose. */
  async markAgainstReload() {
    return await this.page.evaluate(() => {
      window.journeyMark ??= Math.random();
      return window.journeyMark;
    });
  }

  async screenshot(name) {
    if (this.screenshots) {
      await this.page.screenshot({ path: join(this.screenshots, `${name}.png`) });
    }
  }

  async close() {
    await this.page.context().close();
  }

  get #editor() {
    return this.page.locator("textarea");
  }
}
