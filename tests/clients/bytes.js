// Bytes between two callers, one by MessagePack and one by JSON, and how they travel.

import { ItemwireClient } from "itemwire";
import { msgpack } from "itemwire/msgpack";
import WebSocket from "ws";

const [url = "", alicesToken = "", bobsToken = ""] = process.argv.slice(2);
const SENT = Uint8Array.from({ length: 256 }, (_, index) => index); // every byte, and no text
const ANSWER = Uint8Array.from([0xff, 0, 0xc1]);

/** @type {{ isBinary: boolean, bytes: Buffer }[]} */
const frames = [];
class Socket extends WebSocket {
  /** @param {string} address @param {string[]} protocols */
  constructor(address, protocols) {
    super(address, protocols);
    this.on("message", (/** @type {ArrayBuffer} */ data, /** @type {boolean} */ isBinary) => {
      frames.push({ isBinary, bytes: Buffer.from(data) });
    });
  }

  /** @param {any} data */
  send(data) {
    frames.push({ isBinary: typeof data !== "string", bytes: Buffer.from(data) });
    super.send(data);
  }
}

const alice = new ItemwireClient({ url, WebSocket: Socket, codec: msgpack, token: alicesToken });
const bob = new ItemwireClient({ url, WebSocket, token: bobsToken });

/** @param {ItemwireClient} wire @returns {Promise<any[]>} */
async function heard(wire) {
  /** @type {any[]} */
  const all = [];
  for await (const { data } of wire.item("scan:7")) {
    if (all.push(data) === 3) break;
  }
  return all;
}

const hears = [heard(alice), heard(bob)];
await Promise.all([alice, bob].map((wire) => wire.item("scan:7").join()));
await alice.item("scan:7").publish(SENT);
await bob.item("scan:7").publish({ size: 2 ** 40, name: "größe" });
await alice.item("scan:7").publish(ANSWER);
const [byMessagePack, byJson] = await Promise.all(hears);
const { messages } = await alice.item("scan:7").history({ limit: 1 });

const same = (/** @type {any} */ data) => data instanceof Uint8Array && [...data];
const whole = frames.filter(({ bytes }) => bytes.includes(SENT));
const encoded = Buffer.from(SENT).toString("base64");
console.log(
  JSON.stringify({
    heard: [byMessagePack, byJson].map((all) => all?.map((data) => same(data) || data)),
    history: same(messages[0]?.data),
    binary: frames.every(({ isBinary }) => isBinary),
    whole: whole.length, // as it was sent, and as it came
    base64: frames.some(({ bytes }) => bytes.includes(encoded)),
  }),
);
alice.close();
bob.close();
