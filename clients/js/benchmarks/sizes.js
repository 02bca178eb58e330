// The size of each client as a page loads it: bundled, minified and compressed.

import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const IMPORTS = {
  itemwire: 'export { ItemwireClient } from "../itemwire.js"',
  centrifuge: 'export { Centrifuge } from "centrifuge"',
  "socket.io-client": 'export { io } from "socket.io-client"',
};

for (const [name, contents] of Object.entries(IMPORTS)) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
  });
  console.log(`${name.padEnd(18)} ${gzipSync(outputFiles[0].contents, { level: 9 }).length} bytes`);
}
