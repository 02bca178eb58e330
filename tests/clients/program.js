// A program of somebody else: two callers on a real server, a broken line, a token that is bad.

import { once } from "node:events";

import { ItemwireClient, Refused } from "itemwire";
import WebSocket from "ws";

const [url = "", alicesToken = "", bobsToken = ""] = process.argv.slice(2);

/** @typedef {{ message: { text: string }, requests: {} }} Note */
/** @typedef {{ [item: `note:${string}`]: Note }} Channels */

/** @type {WebSocket[]} */
const sockets = [];
class Socket extends WebSocket {
  /** @param {string} address @param {string[]} protocols */
  constructor(address, protocols) {
    super(address, protocols);
    sockets.push(this);
  }
}

/** @type {string[]} */
const reasons = [];
/** @type {ItemwireClient<Channels>} */
const alice = new ItemwireClient({
  url,
  WebSocket: Socket,
  backoff: { base: 200 },
  token: ({ reason }) => {
    reasons.push(reason);
    return alicesToken;
  },
});
/** @type {ItemwireClient<Channels>} */
const bob = new ItemwireClient({ url, WebSocket, token: bobsToken });

/** @type {string[]} */
const heard = [];
const hers = alice.item("note:1");
const his = bob.item("note:1");
hers.on("gap", () => heard.push("gap"));
await hers.join();
await his.join();
const loop = (async () => {
  for await (const { data, sender } of hers) {
    heard.push(`${sender}: ${data.text}`);
    if (data.text === "three") return;
  }
})();
await his.publish({ text: "one" });
sockets[0]?.terminate();
await once(/** @type {WebSocket} */ (sockets[0]), "close");
const { position } = await his.publish({ text: "two" });
await alice.ready();
await his.publish({ text: "three" });
await loop;
const { messages, complete } = await his.history({ limit: 10 });
const members = new Set(his.members.map(({ subject }) => subject));

const mallory = new ItemwireClient({ url, WebSocket, token: "not.a.token" });
mallory.on("error", () => {}); // it is told here, too; without a handler it is printed
const refusal = await mallory.ready().catch((error) => error);

console.log(
  JSON.stringify({
    heard,
    reasons,
    position: /:2$/.test(position ?? ""),
    history: messages.map(({ data }) => data.text),
    complete,
    members: [...members].sort(),
    refusal: refusal instanceof Refused && [refusal.reason, refusal.status, mallory.state],
  }),
);
alice.close();
bob.close();
