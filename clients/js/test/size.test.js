// The core stays small: what a page loads is this one file.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { minify } from "terser";

const MOST = 5 * 1024;

test(`the core is at most ${MOST} bytes, minified and compressed`, async (t) => {
  const text = await readFile(new URL("../itemwire.js", import.meta.url), "utf8");
  const { code } = await minify(text, { module: true, ecma: 2020, compress: { passes: 3, unsafe: true } });
  const size = gzipSync(code, { level: 9 }).length;
  t.diagnostic(`${size} bytes`);

  assert.ok(size <= MOST, `${size} bytes`);
});
