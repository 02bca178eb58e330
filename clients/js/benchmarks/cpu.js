// CPU time per delivered message of each client, on Node: `node cpu.js [messages] [rounds]`.
//
// This process replays what a server of each protocol says; the client has a process of its own.

import { execFile } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";

import { WebSocketServer } from "ws";

import { decode, encode, PROTOCOLS } from "./protocols.js";

const [count = "100000", rounds = "5"] = process.argv.slice(2);
const WARM = 20_000; // messages until what is hot is compiled
const MOST_WAITING = 1 << 18; // bytes that may wait to be sent
const total = WARM + Number(count);
const script = new URL("client.js", import.meta.url).pathname;

async function deliver(socket, protocol) {
  for (let number = 1; number <= total; number++) {
    socket.send(encode(protocol.message(number)));
    while (socket.bufferedAmount > MOST_WAITING) await new Promise(setImmediate);
  }
}

async function measure(name) {
  const protocol = PROTOCOLS[name];
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
  server.on("connection", (socket) => {
    for (const frame of protocol.begin) socket.send(encode(frame));
    socket.on("error", () => {}); // the client has all, and is gone
    socket.on("message", (text) => {
      for (const frame of String(text).split("\n").map(decode)) {
        const answer = protocol.answer(frame);
        if (answer) socket.send(encode(answer));
        if (protocol.starts(frame)) deliver(socket, protocol);
      }
    });
  });
  await once(server, "listening");
  const { port } = server.address();
  const { stdout } = await promisify(execFile)(process.execPath, [script, name, port, WARM, count]);
  server.close();
  return Number(stdout);
}

const figures = Object.fromEntries(Object.keys(PROTOCOLS).map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  for (const name of Object.keys(PROTOCOLS)) figures[name].push(await measure(name));
}
const median = (all) => all.sort((a, b) => a - b)[all.length >> 1];
const own = median(figures.itemwire);
for (const [name, all] of Object.entries(figures)) {
  const middle = median(all);
  const range = `${all[0].toFixed(2)} to ${all.at(-1).toFixed(2)}`;
  console.log(`${name.padEnd(12)} ${middle.toFixed(2)} µs (${range}), ${(middle / own).toFixed(2)} times itemwire`);
}
