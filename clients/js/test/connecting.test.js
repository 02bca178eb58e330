// Behaviours 6 to 12: attempts, their timing, and what belongs to one that is over.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ItemwireClient } from "../itemwire.js";
import { FakeServer, settled } from "../testing.js";
import { connected, joined, setUp } from "./scripted.js";

/** Return the milliseconds between the attempts that a client makes in an hour, so many of them. */
async function waits(server, wire, count) {
  await server.advance(3_600_000);
  wire.close();
  const moments = server.sockets.map(({ startedAt }) => startedAt);
  return moments.slice(1, count + 1).map((moment, at) => moment - moments[at]);
}

test("6 the wait is drawn between 0 and a bound that doubles up to a cap", async () => {
  const bounds = async (random) => {
    const { server, wire } = setUp();
    server.random = random;
    server.block();
    wire.connect();
    return waits(server, wire, 7);
  };

  assert.deepEqual(await bounds(1), [2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  assert.deepEqual(await bounds(0.5), [1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
});

/** Return the most of these moments that any window of so many milliseconds holds. */
function densest(moments, ms) {
  const sorted = [...moments].sort((a, b) => a - b);
  return Math.max(...sorted.map((from, at) => sorted.findLastIndex((to) => to < from + ms) - at + 1));
}

test("6 of 400 clients that lose a server at once, at most 5 % come back within 100 ms", async () => {
  const server = new FakeServer();
  let seed = 1; // Park and Miller's: every run draws the same
  const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  const options = { ...server.options, random };
  const wires = Array.from({ length: 400 }, () => new ItemwireClient(options));
  for (const wire of wires) wire.connect();
  await settled();
  server.drop();
  await server.advance(6000);
  const moments = server.sockets.slice(400).map(({ startedAt }) => startedAt);

  assert.equal(moments.length, 400);
  assert.ok(densest(moments, 100) <= 20, `${densest(moments, 100)} at once`);
});

test("7 advice that is the same for all is added to, so that they come apart all the same", async () => {
  const server = new FakeServer();
  const moments = new Set();
  for (const random of [0.25, 0.5, 0.75]) {
    const { wire } = await connected({ random: () => random }, server);
    server.end({ reason: "overloaded", retry: "later", retry_after_ms: 4000, code: 1013 });
    const from = server.clock.now();
    await server.advance(6000);
    moments.add(server.sockets.at(-1).startedAt - from);
    wire.close();
  }

  assert.deepEqual([...moments], [4500, 5000, 5500]);
});

test("6 only the server's answer resets the wait: an open socket does not", async () => {
  const { server, wire } = setUp();
  server.refuse({ reason: "overloaded", retry: "later", code: 1013, times: 5 });
  wire.connect();

  assert.deepEqual(await waits(server, wire, 4), [1000, 2000, 4000, 8000]);
});

test("6 an answer resets it, also the pong of an older server", async () => {
  for (const hints of [true, false]) {
    const { server, wire } = setUp();
    server.hints = hints;
    server.refuse({ reason: "overloaded", retry: "later", code: 1013, times: 5 });
    wire.connect();
    await server.advance(60_000);
    assert.equal(wire.state, "connected");
    const before = server.sockets.length;
    server.drop();
    await server.advance(999);
    assert.equal(server.sockets.length, before);
    await server.advance(1);
    assert.equal(server.sockets.length, before + 1);
    assert.equal(wire.state, "connected");
  }
});

test("7 retry_after_ms is the least that is waited, also when the page is woken", async () => {
  const { server, wire } = await connected({ random: () => 0 });
  server.end({ reason: "overloaded", retry: "later", retry_after_ms: 4000, code: 1013 });
  await server.advance(1500);
  server.wake();
  await server.advance(2499);
  assert.equal(server.sockets.length, 1);
  await server.advance(1);

  assert.equal(server.sockets.length, 2);
  assert.equal(wire.state, "connected");
});

test("7 why a connection ended is told, and every frame is for those who ask", async () => {
  const { server, wire } = await connected();
  const [lost, frames] = [[], []];
  wire.on("lost", (ending) => lost.push(ending));
  wire.on("frame", ({ type }) => frames.push(type));
  server.end({ reason: "draining", retry: "now", retry_after_ms: 100 });
  await server.advance(2000);
  server.drop();
  await settled();

  assert.deepEqual(lost[0], { code: 1012, reason: "draining", retry: "now", retry_after_ms: 100 });
  assert.deepEqual([lost[1].code, lost[1].retry], [1006, "later"]);
  assert.deepEqual(frames, ["closing", "hello", "pong"]);
});

test("8 late events of an earlier socket do nothing", async () => {
  const { server, wire, errors } = await connected();
  const [old] = server.sockets;
  const { onopen, onmessage, onclose } = old;
  server.drop();
  await server.advance(5000);
  const before = sentCount(server);
  onopen({});
  onmessage({ data: '{"type":"closing","code":1008,"reason":"forbidden","retry":"never"}' });
  onclose({ code: 1008, reason: "forbidden;retry=never" });
  await settled();

  assert.equal(wire.state, "connected");
  assert.equal(server.sockets.length, 2);
  assert.equal(sentCount(server), before);
  assert.deepEqual(errors, []);
});

const sentCount = (server) => server.frames.length;

test("8 connect inside a handler is neither doubled nor lost", async () => {
  const { server, wire } = await connected();
  wire.on("state", () => wire.connect());
  wire.once("state", (state) => {
    assert.equal(state, "closed");
    wire.connect();
    wire.connect();
  });
  wire.close();
  await server.advance(1);

  assert.equal(wire.state, "connected");
  assert.equal(server.sockets.length, 2);
});

test("9 everything is down before the first handler is told", async () => {
  const { server, wire, item } = await joined();
  const seen = [];
  const look = () => seen.push([wire.state, item.state]);
  wire.on("state", look);
  item.on("state", look);
  const asked = item.publish("x");
  server.drop();
  await assert.rejects(asked);
  await settled();

  assert.deepEqual(seen, [["reconnecting", "joining"], ["reconnecting", "joining"]]);
});

test("10 an exception in a handler stops neither others nor later frames", async () => {
  const { server, item, told, errors } = await joined();
  item.on("message", () => {
    throw new Error("mine");
  });
  const after = [];
  item.on("message", ({ data }) => after.push(data));
  server.publish("order:1", "a");
  server.publish("order:1", "b");
  await settled();

  assert.deepEqual(told, ["a", "b"]);
  assert.deepEqual(after, ["a", "b"]);
  assert.deepEqual(errors.map(({ message }) => message), ["mine", "mine"]);
});

test("10 an exception in parse, or in a handler of errors, stops nothing either", async (t) => {
  const printed = t.mock.method(console, "error", () => {});
  const parse = (data) => {
    if (data === "bad") throw new Error("not mine");
    return data;
  };
  const { server, wire, told } = await joined({}, { parse });
  wire.on("error", () => {
    throw new Error("again");
  });
  server.publish("order:1", "bad");
  server.publish("order:1", "good");
  await settled();

  assert.deepEqual(told, ["good"]);
  assert.equal(printed.mock.callCount(), 1);
});

test("11 a handshake that is not answered in time is given up", async () => {
  const { server, wire } = setUp();
  server.isSilent = true;
  wire.connect();
  await server.advance(9_999);
  assert.equal(server.sockets[0].closedWith, undefined);
  await server.advance(1);
  assert.notEqual(server.sockets[0].closedWith, undefined);
  server.isSilent = false;
  await server.advance(5_000);

  assert.equal(wire.state, "connected");
});

test("12 close while connecting leaves no ghost, whatever comes later", async () => {
  for (const moment of ["token", "handshake", "opened", "waiting"]) {
    const { server, wire, states } = setUp();
    if (moment === "handshake") server.isSilent = true;
    if (moment === "opened") server.hold();
    if (moment === "waiting") server.block();
    wire.connect();
    if (moment !== "token") await settled();
    const [socket] = server.sockets;
    const { onopen, onmessage, onclose } = socket ?? {};
    wire.close();
    server.release();
    server.block(false);
    onopen?.({});
    onmessage?.({ data: '{"type":"hello"}' });
    onclose?.({ code: 1006, reason: "" });
    server.wake();
    await server.advance(600_000);

    assert.equal(wire.state, "closed", moment);
    assert.deepEqual(states, ["connecting", "closed"], moment);
    assert.equal(server.sockets.length, moment === "token" ? 0 : 1, moment);
    assert.deepEqual(server.open, [], moment);
    assert.equal(server.clock.waiting, 0, moment);
  }
});
