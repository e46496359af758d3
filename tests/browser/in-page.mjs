// What runs inside the console's page: reads with the client that the gateway
// serves, and hashes what came. Each function is sent to the page as text, so it
// can use nothing from outside itself.

/** SHA-256 by path, or what went wrong, of each of these paths: one call each. */
export async function readEachInPage({ repo, token, paths }) {
  const { connect } = await import(`${location.origin}/assets/vdom-sdk.js`);
  const main = connect({ baseUrl: location.origin, token }).branch(repo, "main");
  const hashes = {};
  const left = [...paths];
  const reader = async () => {
    for (let path = left.pop(); path !== undefined; path = left.pop()) {
      try {
        const { content } = await main.read(path);
        const sum = await crypto.subtle.digest("SHA-256", content);
        hashes[path] = Array.from(new Uint8Array(sum), (byte) =>
          byte.toString(16).padStart(2, "0"),
        ).join("");
      } catch (error) {
        hashes[path] = `${error.code ?? error.name}: ${error.message}`;
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, reader));
  return hashes;
}

/** SHA-256 by path of every node of the branch: one stream. */
export async function readAllInPage({ repo, token }) {
  const { connect } = await import(`${location.origin}/assets/vdom-sdk.js`);
  const main = connect({ baseUrl: location.origin, token }).branch(repo, "main");
  const hashes = {};
  for await (const { node, content } of main.contents()) {
    const sum = await crypto.subtle.digest("SHA-256", content);
    hashes[node.path] = Array.from(new Uint8Array(sum), (byte) =>
      byte.toString(16).padStart(2, "0"),
    ).join("");
  }
  return hashes;
}
