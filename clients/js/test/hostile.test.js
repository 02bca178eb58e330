// Frames, clocks and programs that do what they should not, under the numbers of the behaviours.

import assert from "node:assert/strict";
import { test } from "node:test";

import { settled } from "../testing.js";
import { connected, joined, setUp } from "./scripted.js";

const HOUR = 3_600_000;
const TYPES = [
  "welcome", "message", "gap", "ended", "joined", "left", "updated", "count", "error", "reply", "hello", "pong",
  "expiring", "direct", "direct_lost",
];
const FIELDS = [
  "member", "members", "member_count", "epoch", "can", "ref", "data", "encoding", "expires_at",
  "server_time", "max_items", "max_message_bytes", "items", "retry_after_ms", "reason", "resume",
];
const VALUES = [undefined, null, 0, -1, "x", [], {}, [1]];

for (const type of TYPES) {
  test(`34 an envelope ${type} with fields of any kind is at most told, and the next one is heard`, async () => {
    for (const field of FIELDS) {
      for (const value of VALUES) {
        const { server, wire, item, told } = await joined();
        const [socket] = server.sockets;
        socket.onmessage({ data: JSON.stringify({ type, item: "order:1", encoding: "base64", [field]: value }) });
        await settled();
        const what = `${field}: ${JSON.stringify(value)}`;
        assert.equal(wire.state, "connected", what);
        if (item.state === "joined") { // and not ended by what has come
          server.publish("order:1", "next");
          await settled();
          assert.equal(told.at(-1), "next", what);
        }
        wire.close();
      }
    }
  });
}

/** Return what a client does that was greeted so, and wants three items. */
async function greeted(hello) {
  const all = setUp();
  all.server.hints = false;
  all.server.intercept = ({ type }) => type === "ping";
  all.wire.connect();
  await settled();
  const [socket] = all.server.sockets;
  socket.onmessage({ data: JSON.stringify({ type: "hello", ...hello }) });
  const items = ["a", "b", "c"].map((id) => all.wire.item(id));
  await Promise.all(items.map((item) => item.join()));
  return { ...all, joins: socket.frames.filter(({ type }) => type === "join").map(({ items }) => items?.length ?? 1) };
}

for (const [hello, frames] of [
  [{ max_items: 100 }, [3]],
  [{ max_items: 2 }, [2, 1]],
  [{ max_items: 100, max_message_bytes: 1000 }, [2, 1]],
  ...[0, -1, null, "many", 0.5].map((max_items) => [{ max_items }, [1, 1, 1]]),
]) {
  test(`24 ${JSON.stringify(hello)} of a server gives joins of ${frames} items`, async () => {
    assert.deepEqual((await greeted(hello)).joins, frames);
  });
}

test("25 what is larger than the server takes is refused here, and the connection stays", async () => {
  const { server, wire, item } = await joined();
  const frame = (data) => JSON.stringify({ type: "publish", item: "order:1", data, key: "k", ref: 10 }).length;
  const room = 65_536 - frame("");
  const refs = [];
  server.intercept = ({ ref, type }) => void (type === "publish" && refs.push(ref));
  while ((await item.publish("x", { key: "k" })) && refs.at(-1) < 9); // refs of two digits from here on
  await item.publish("x".repeat(room), { key: "k" });
  const before = refs.length;
  for (const data of ["x".repeat(room + 1), "é".repeat(room / 2 + 1)]) {
    await assert.rejects(item.publish(data, { key: "k", retry: 3 }), { reason: "message_too_big", retry: "never" });
  }

  assert.equal(refs.length, before);
  assert.equal(wire.state, "connected");
});

test("25 what the codec cannot write is the program's error at once, and leaves nothing behind", async () => {
  const { server, item } = await joined();
  const before = server.clock.waiting;
  const circle = {};
  circle.circle = circle;
  for (const data of [1n, circle]) await assert.rejects(item.publish(data, { retry: 3 }), TypeError);

  assert.equal(server.clock.waiting, before);
});

test("10 a handler that fails later is told as one that fails at once", async () => {
  const { server, item, told, errors } = await joined();
  item.on("message", async () => {
    await settled();
    throw new Error("late");
  });
  server.publish("order:1", "a");
  server.publish("order:1", "b");
  await settled();
  await settled();

  assert.deepEqual(told, ["a", "b"]);
  assert.deepEqual(errors.map(({ message }) => message), ["late", "late"]);
});

/** Let the client see another time of day than its timers. */
function setClock(server, ms) {
  const { now } = server.clock;
  server.clock.now = () => now() + ms;
  server.skew -= ms; // it is the client's clock, and not the server's
}

for (const hours of [-2, 2]) {
  const way = `is set by ${hours} h`;

  test(`35 a clock that ${way} holds up neither the next attempt nor the time of a handshake`, async () => {
    const { server, wire } = setUp();
    server.isSilent = true;
    wire.connect();
    await settled();
    setClock(server, hours * HOUR);
    await server.advance(30_000);
    server.isSilent = false;
    await server.advance(30_000);

    assert.ok(server.sockets.length > 1);
    assert.equal(wire.state, "connected");
  });

  test(`35 a clock that ${way} hides no dead line`, async () => {
    const { server, wire } = await connected();
    setClock(server, hours * HOUR);
    server.halfOpen();
    await server.advance(60_000);

    assert.equal(server.sockets.length, 2);
    assert.equal(wire.state, "connected");
  });

  test(`35 a clock that ${way} while it waits does not put off whoever is woken`, async () => {
    const { server, wire } = await connected();
    server.drop();
    await settled();
    setClock(server, hours * HOUR);
    server.wake();
    await server.advance(1500);

    assert.equal(wire.state, "connected");
  });

  test(`35 a clock that ${way} renews each token once`, async () => {
    const { server, wire, tokens } = setUp();
    server.lifetime = 3600;
    wire.connect();
    await settled();
    setClock(server, hours * HOUR);
    for (let minute = 0; minute < 180; minute++) {
      if (minute % 60 === 55) server.send(server.sockets[0], { type: "expiring", expires_at: 0 });
      await server.advance(60_000);
    }

    const refreshes = tokens.filter(({ reason }) => reason === "refresh").length;
    assert.ok(refreshes >= 3 && refreshes <= 6, `${refreshes} in three hours`);
  });
}

test("27 a token of which little is left when the connection opens is renewed in time, too", async () => {
  for (const seconds of [0.5, 1, 2]) {
    const { server, wire, tokens } = setUp();
    server.lifetime = seconds;
    wire.connect();
    await server.advance(seconds * 900);

    assert.ok(tokens.length > 1, `${seconds} s`);
    wire.close();
  }
});

test("35 a server that says of every token that it has ended gets one each second at most", async () => {
  const { server, wire, tokens } = setUp();
  server.lifetime = -60;
  wire.connect();
  await server.advance(10_000);

  assert.ok(tokens.length > 1 && tokens.length <= 11, `${tokens.length}`);
});

test("13 an attempt that a sleep has made late begins at once", async () => {
  const { server, wire } = await connected();
  server.drop();
  await settled();
  await server.clock.sleep(HOUR);

  assert.equal(wire.state, "connected");
});
