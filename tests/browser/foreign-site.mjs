// A page of another origin, which no gateway was told to allow.

import { createServer } from "node:http";

export async function foreignSite() {
  const server = createServer((_request, response) => {
    response.setHeader("content-type", "text/html");
    response.end("<!doctype html><title>elsewhere</title>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    /** What a gRPC-Web call and a REST call from that page get: `refused` or the answer. */
    async call(browser, base, token) {
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      try {
        const page = await context.newPage();
        await page.goto(origin);
        return await page.evaluate(callFromPage, { base, token });
      } finally {
        await context.close();
      }
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Runs in the foreign page. A refusal by CORS looks like a network failure to it. */
async function callFromPage({ base, token }) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const calls = [
    fetch(`${base}/virtualdom.v1.MemoryGateway/ListRepos`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
      body: new Uint8Array(5),
    }),
    fetch(`${base}/v1/repos`, { headers: { ...headers, "x-request-id": "foreign" } }),
  ];
  const answers = [];
  for (const call of calls) {
    try {
      answers.push(`answered ${(await call).status}`);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      answers.push("refused");
    }
  }
  // That the server is there at all is seen without CORS.
  await fetch(`${base}/health`, { mode: "no-cors" });
  return answers.every((it) => it === "refused") ? "refused" : answers.join(", ");
}
