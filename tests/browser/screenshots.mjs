// The pictures of the README: the console with a node open, light and dark.
// `scripts/screenshots` starts what it needs.
//
// VDOM_HTTP        base URL of the gateway's HTTP port (required)
// VDOM_TOKEN       bearer token (required)
// VDOM_CHROMIUM    the browser (default: /usr/bin/chromium)

import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const { VDOM_HTTP, VDOM_TOKEN, VDOM_CHROMIUM = "/usr/bin/chromium" } = process.env;
const images = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const node = process.argv[2];

const browser = await chromium.launch({
  executablePath: VDOM_CHROMIUM,
  args: ["--no-sandbox"],
});
for (const colorScheme of ["light", "dark"]) {
  const page = await browser.newPage({ colorScheme, viewport: { width: 1280, height: 640 } });
  await page.goto(`${VDOM_HTTP}/#/${node}`);
  await page.getByLabel("Token", { exact: true }).fill(VDOM_TOKEN);
  await page.getByRole("button", { name: "Use this token" }).click();
  await page.locator('[data-state="live"]').waitFor();
  await page.getByRole("textbox").last().waitFor();
  // Changes that have just arrived fade from a colour to none.
  await page.waitForTimeout(3_000);
  await page.screenshot({ path: `${images}console-${colorScheme}.png` });
  await page.close();
}
await browser.close();
