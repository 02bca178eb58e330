// One client in a process of its own: follows, and says what a message has cost of CPU time.

import { Centrifuge } from "centrifuge";
import { io } from "socket.io-client";
import WebSocket from "ws";

import { ItemwireClient } from "../itemwire.js";

const [name, port, warm, count] = process.argv.slice(2);
const [first, last] = [Number(warm), Number(warm) + Number(count)];
let [seen, sum, begun] = [0, 0, undefined];

/** Take a message as a program does: read something of it. */
function take({ number }) {
  sum += number;
  if (++seen === first) begun = process.cpuUsage();
  if (seen < last) return;
  const { user, system } = process.cpuUsage(begun);
  if (sum !== (last * (last + 1)) / 2) throw Error("not what was sent");
  console.log((user + system) / count);
  process.exit();
}

const CLIENTS = {
  itemwire() {
    const item = new ItemwireClient({ url: `ws://127.0.0.1:${port}`, WebSocket }).item("bench");
    item.on("message", ({ data }) => take(data));
    item.join();
  },
  centrifuge() {
    const centrifuge = new Centrifuge(`ws://127.0.0.1:${port}`, { websocket: WebSocket });
    const bench = centrifuge.newSubscription("bench");
    bench.on("publication", ({ data }) => take(data));
    bench.subscribe();
    centrifuge.connect();
  },
  "socket.io"() {
    const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"] });
    socket.on("message", ({ data }) => take(data));
  },
  none() {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, "itemwire.v1.json");
    socket.onopen = () => socket.send("{}");
    socket.onmessage = ({ data }) => {
      const { type, data: payload } = JSON.parse(data);
      if (type === "message") take(payload);
    };
  },
};

CLIENTS[name]();
