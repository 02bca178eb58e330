// What the tests of behaviours share: a scripted server, a client on it, and what happened.

import assert from "node:assert/strict";

import { ItemwireClient } from "../itemwire.js";
import { FakeServer, settled } from "../testing.js";

/** Return a server, a client that is not connected yet, and all that both have said. */
export function setUp(options = {}, server = new FakeServer()) {
  const tokens = [];
  const token = (request) => {
    tokens.push(request);
    return `t${tokens.length}`;
  };
  const wire = new ItemwireClient({ ...server.options, backoff: { base: 2000 }, token, ...options });
  const states = [];
  const errors = [];
  wire.on("state", (state) => states.push(state));
  wire.on("error", (error) => errors.push(error));
  return { server, wire, tokens, states, errors };
}

/** The same, connected. */
export async function connected(options, server) {
  const all = setUp(options, server);
  all.wire.connect();
  await settled();
  assert.equal(all.wire.state, "connected");
  return all;
}

/** The same, with one item joined; `told` is what it has told. */
export async function joined(options, itemOptions, id = "order:1") {
  const all = await connected(options);
  const item = all.wire.item(id, itemOptions);
  const told = listen(item);
  await item.join();
  return { ...all, item, told };
}

/** Return the list of what an item tells, which grows. */
export function listen(item) {
  const told = [];
  item.on("message", ({ offset, data }) => told.push(data ?? offset));
  item.on("gap", ({ from, to }) => told.push(`gap ${from}-${to}`));
  return told;
}

/** Return the types of the frames that a socket was sent by the client, without pings. */
export function sent(socket) {
  return socket.frames.map(({ type }) => type).filter((type) => type !== "ping");
}

/** Return a promise, and the functions that settle it. */
export function deferred() {
  let resolve, reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}
