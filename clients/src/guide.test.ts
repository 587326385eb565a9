import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "./servers.js";

const flush = (code: string) => code.replace(/^ +/gm, "");

test("the code of docs/clients.md is the code that these tests run", async () => {
  const guide = await readFile(join(root, "docs/clients.md"), "utf8");
  const files = Array.from(guide.matchAll(/^`(clients\/\S+)`:?\n\n```\w+\n([\s\S]*?)^```$/gm), ([, path, code]) => ({ path: path!, code: code! }));
  for (const { path, code } of files) {
    // A block may be some lines of its file, with less before them.
    const file = flush(await readFile(join(root, path), "utf8"));
    assert.ok(`\n${file}`.includes(`\n${flush(code)}`), `${path} is not as docs/clients.md has it:\n${code}`);
  }
  const blocks = guide.match(/^```(tsx?|js|json)$/gm) ?? [];
  assert.ok(blocks.length > 0);
  assert.equal(files.length, blocks.length, "a block of code does not say which file it is");
});
