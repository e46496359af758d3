// The regular files below a directory.

import { readdir } from "node:fs/promises";
import { join, posix } from "node:path";

/** Paths relative to the directory, with `/`, sorted; without what an import leaves out. */
export async function filesBelow(directory, prefix = "") {
  const paths = [];
  for (const entry of await readdir(join(directory, prefix), { withFileTypes: true })) {
    const path = posix.join(prefix, entry.name);
    if (entry.isDirectory() && entry.name !== ".git")
      paths.push(...(await filesBelow(directory, path)));
    else if (entry.isFile()) paths.push(path);
  }
  return paths.sort();
}
