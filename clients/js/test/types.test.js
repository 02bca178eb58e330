// The types that are shipped, as a program sees them that is checked with `--strict`.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

test("a program with types of its own channels is checked by them", () => {
  const command = [path("../node_modules/typescript/bin/tsc"), "-p", path("types")];
  const { status, stdout } = spawnSync(process.execPath, command, { encoding: "utf8" });

  assert.equal(status, 0, stdout);
});
