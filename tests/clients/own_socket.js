// A program for places that have a `WebSocket` of their own: nothing is passed in but the address.

import { connect, createServer } from "node:net";

import { ItemwireClient, Refused } from "itemwire";
import { msgpack } from "itemwire/msgpack";

const [url = "", token = ""] = process.argv.slice(2);

/** @type {Set<import("node:net").Socket>} */
const lines = new Set();
const proxy = createServer((line) => {
  const server = connect(Number(new URL(url).port), "127.0.0.1");
  for (const one of [line, server]) {
    lines.add(one);
    one.on("error", () => {});
    one.on("close", () => [line, server].forEach((end) => end.destroy()));
  }
  line.pipe(server).pipe(line);
});
await /** @type {Promise<void>} */ (new Promise((listening) => proxy.listen(0, "127.0.0.1", listening)));
const { port } = /** @type {import("node:net").AddressInfo} */ (proxy.address());
const options = { url: `http://127.0.0.1:${port}`, token, backoff: { base: 100 } };

/** @type {string[]} */
const states = [];
const wires = [new ItemwireClient(options), new ItemwireClient({ ...options, codec: msgpack })];
wires[0]?.on("state", (state) => states.push(state));

/** @param {ItemwireClient} wire */
async function heard(wire) {
  const all = [];
  for await (const { data } of wire.item("note:2")) if (all.push(data) === 2) return all;
}
const hears = wires.map(heard);
await Promise.all(wires.map((wire) => wire.item("note:2").join()));
await wires[0]?.item("note:2").publish("before");
const lost = wires.map((wire) => new Promise((told) => wire.once("lost", told)));
for (const line of lines) line.destroy();
await Promise.all(lost);
await Promise.all(wires.map((wire) => wire.ready()));
await wires[1]?.item("note:2").publish("after");
const all = await Promise.all(hears);

const mallory = new ItemwireClient({ url, token: "not.a.token" });
mallory.on("error", () => {});
const refusal = await mallory.ready().catch((error) => error);
for (const wire of wires) wire.close();
proxy.close();
await Promise.resolve(); // what `close` tells comes at the end of its turn
console.log(
  JSON.stringify({ heard: all, states, refusal: refusal instanceof Refused && [refusal.reason, mallory.state] }),
);
