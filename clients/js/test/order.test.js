// Behaviours 19 to 24: positions, gaps, and what is wanted while answers are under way.

import assert from "node:assert/strict";
import { test } from "node:test";

import { settled } from "../testing.js";
import { connected, joined, listen, sent } from "./scripted.js";

test("19 the position has moved when the handler runs", async () => {
  const { server, item } = await joined();
  const seen = [];
  item.on("message", ({ offset }) => seen.push([offset, Number(item.position.split(":")[1])]));
  server.publish("order:1", "a");
  server.publish("order:1", "b");
  await settled();

  assert.deepEqual(seen, [[1, 1], [2, 2]]);
});

test("20 what comes twice in one epoch is delivered once; a new epoch counts anew", async () => {
  const { server, item, told } = await joined();
  const [socket] = server.sockets;
  server.publish("order:1", "a");
  server.send(socket, { type: "message", item: "order:1", offset: 1, data: "a again" });
  server.send(socket, { type: "gap", item: "order:1", epoch: "new", from: 1, to: 0 });
  server.send(socket, { type: "message", item: "order:1", offset: 1, data: "b" });
  await settled();

  assert.deepEqual(told, ["a", "gap 1-0", "b"]);
  assert.equal(item.position, "new:1");
});

test("20 the message that a channel retains comes once, after a welcome that it is as old as", async () => {
  const { server, wire } = await connected();
  server.publish("order:1", "a");
  const item = wire.item("order:1");
  const told = listen(item);
  await item.join();
  const kept = { type: "message", item: "order:1", offset: 1, data: "a" };
  server.send(server.sockets[0], kept);
  server.send(server.sockets[0], kept);
  server.publish("order:1", "b");
  server.send(server.sockets[0], { ...kept, offset: 2, data: "b again" });
  await settled();

  assert.deepEqual(told, ["a", "b"]);
  assert.match(item.position, /:2$/);
});

test("20 what is retained is not told again to a client that has it", async () => {
  const { server, item, told } = await joined();
  server.publish("order:1", "a");
  await settled();
  server.forget("order:1");
  server.drop();
  await server.advance(5000);
  server.send(server.sockets.at(-1), { type: "message", item: "order:1", offset: 1, data: "a" });
  await settled();

  assert.deepEqual(told, ["a"]);
  assert.equal(item.state, "joined");
});

test("20 ephemeral messages have no offset, and move nothing", async () => {
  const { server, item, told } = await joined();
  const before = item.position;
  const cursor = { type: "message", item: "order:1", ephemeral: true, data: { x: 1 } };
  server.send(server.sockets[0], cursor);
  server.send(server.sockets[0], cursor);
  await settled();

  assert.deepEqual(told, [{ x: 1 }, { x: 1 }]);
  assert.equal(item.position, before);
});

test("21 a break of which all was kept is closed without a gap", async () => {
  const { server, told } = await joined();
  server.publish("order:1", "a");
  await settled();
  server.drop();
  await settled();
  server.publish("order:1", "b");
  await server.advance(5000);
  server.publish("order:1", "c");
  await settled();

  assert.deepEqual(told, ["a", "b", "c"]);
});

test("21 a break of which something is lost is told once, before the first newer message", async () => {
  const { server, told } = await joined();
  server.publish("order:1", "a");
  await settled();
  server.drop();
  await settled();
  server.publish("order:1", "lost");
  server.forget("order:1");
  await server.advance(5000);
  server.publish("order:1", "c");
  await settled();
  server.drop();
  await server.advance(5000);
  server.publish("order:1", "d");
  await settled();

  assert.deepEqual(told, ["a", "gap 2-2", "c", "d"]);
});

test("21 a lost store is a gap from the first message on", async () => {
  const { server, told } = await joined();
  server.publish("order:1", "a");
  await settled();
  server.restart();
  server.publish("order:1", "b");
  await server.advance(5000);

  assert.deepEqual(told, ["a", "gap 1-1"]);
});

test("21 with replay, what is kept follows a gap, and nothing comes twice", async () => {
  const { server, told } = await joined({}, { replay: 2 });
  for (const data of ["a", "b"]) server.publish("order:1", data);
  await settled();
  server.drop();
  await settled();
  for (const data of ["c", "d", "e"]) server.publish("order:1", data);
  server.intercept = (envelope, socket) => {
    if (envelope.type !== "join") return false;
    server.intercept = () => {};
    server._received(socket, { ...envelope, items: envelope.items.map(({ item, replay }) => ({ item, replay })) });
    return true;
  };
  await server.advance(5000);

  assert.deepEqual(told, ["a", "b", "d", "e"]);
});

test("21 since goes on where another program has stopped, with its proof once there is one", async () => {
  const { server } = await connected();
  for (const data of ["a", "b", "c"]) server.publish("order:2", data);
  const { messages, offset } = await historyOf(server);
  const { item, told, server: own } = await joined({}, { since: "other:1" });
  assert.equal(messages.length, 3);
  assert.equal(offset, 3);
  assert.deepEqual(own.frames.find(({ type }) => type === "join").items, [{ item: "order:1", since: "other:1" }]);
  assert.deepEqual(told, ["gap 1-0"]);
  own.drop();
  await own.advance(5000);

  assert.match(own.frames.findLast(({ type }) => type === "join").items[0].since, /^e\d+\.0\.proof:0$/);
  assert.equal(item.state, "joined");
});

async function historyOf(server) {
  const { wire } = await connected({}, server);
  const item = wire.item("order:2");
  await item.join();
  return item.history({ limit: 10 });
}

/** Every order of joins and leaves, up to four of them, with the answers in between or not. */
function* interleavings() {
  for (let bits = 0; bits < 2 ** 7; bits++) {
    const wishes = [0, 1, 2, 3].map((at) => (bits >> at) & 1);
    const pauses = [4, 5, 6].map((at) => (bits >> at) & 1);
    yield [wishes, pauses];
  }
}

test("22 join and leave in any interleaving: the last wish wins", async () => {
  for (const [wishes, pauses] of interleavings()) {
    const { server, wire } = await connected();
    const item = wire.item("order:1");
    const told = listen(item);
    let held = 0;
    for (const [at, wish] of wishes.entries()) {
      if (wish) item.join();
      else item.leave();
      held = wish ? held + 1 : Math.max(0, held - 1);
      if (pauses[at]) await settled();
    }
    server.hold();
    server.release();
    await settled();
    server.publish("order:1", "x");
    await settled();

    const name = JSON.stringify([wishes, pauses]);
    assert.equal(item.state, held ? "joined" : "left", name);
    assert.deepEqual(told, held ? ["x"] : [], name);
    assert.equal(server.sockets[0].items.has("order:1"), held > 0, name);
  }
});

test("22 a welcome that is not wanted any more is answered by leave", async () => {
  const { server, wire } = await connected();
  const item = wire.item("order:1");
  server.hold();
  const asked = item.join();
  await settled();
  item.leave();
  await assert.rejects(asked, { reason: "left" });
  server.release();
  await settled();

  assert.deepEqual(sent(server.sockets[0]), ["join", "leave"]);
  assert.equal(item.state, "left");
  item.join();
  await settled();
  assert.equal(item.state, "joined");
});

test("22 join and leave in one turn send nothing; as many leaves as joins are needed", async () => {
  const { server, wire } = await connected();
  const item = wire.item("order:1");
  item.join();
  item.leave();
  await settled();
  assert.deepEqual(sent(server.sockets[0]), []);
  await Promise.all([item.join(), item.join()]);
  await item.leave();
  await settled();
  assert.equal(item.state, "joined");
  await item.leave();
  await settled();

  assert.deepEqual(sent(server.sockets[0]), ["join", "leave"]);
});

for (const end of ["leave", "close", "signOut"]) {
  test(`23 nothing is delivered after ${end}, also of what has come in one batch`, async () => {
    const frames = [];
    function batch(flush) {
      assert.equal(this, undefined); // a browser's requestAnimationFrame is no method of ours
      frames.push(flush);
    }
    const { server, wire, item, told } = await joined({ batch });
    const late = [];
    const stop = () => (end === "leave" ? item.leave() : wire[end]());
    item.on("message", ({ data }) => data === "b" && stop());
    item.on("message", ({ data }) => late.push(data));
    for (const data of ["a", "b", "c"]) server.publish("order:1", data);
    await settled();
    assert.deepEqual(told, []); // it waits for the frame
    frames.shift()();
    await settled();
    frames.forEach((flush) => flush());

    assert.deepEqual(told, ["a", "b"]);
    assert.deepEqual(late, ["a"]);
  });
}

test("23 a loop gets nothing after close, and ends", async () => {
  const { server, wire } = await connected();
  const seen = [];
  const loop = (async () => {
    for await (const { data } of wire.item("order:1")) {
      seen.push(data);
      if (data === "b") wire.close();
    }
  })();
  await settled();
  for (const data of ["a", "b", "c"]) server.publish("order:1", data);
  await loop;

  assert.deepEqual(seen, ["a", "b"]);
});

test("23 a loop that is left leaves the item, and one that cannot keep up is told", async () => {
  const { server, wire } = await connected();
  const item = wire.item("order:1");
  setImmediate(() => server.publish("order:1", "a"));
  for await (const { data } of item) {
    assert.equal(data, "a");
    break;
  }
  await settled();
  assert.equal(item.state, "left");
  const loop = item[Symbol.asyncIterator]();
  const first = loop.next();
  await settled();
  server.publish("order:1", "first");
  assert.equal((await first).value.data, "first");
  for (let number = 0; number < 1100; number++) server.publish("order:1", number);
  await settled();

  await assert.rejects(loop.next(), { reason: "slow_consumer" });
});

test("24 after a break only what is still wanted is joined, in one frame", async () => {
  const { server, wire } = await connected();
  const items = ["a", "b", "c"].map((id) => wire.item(id));
  await Promise.all(items.map((item) => item.join()));
  server.drop();
  await settled();
  items[1].leave();
  await server.advance(5000);

  const [join, ...more] = server.sockets[1].frames.filter(({ type }) => type === "join");
  assert.deepEqual(join.items.map(({ item }) => item), ["a", "c"]);
  assert.deepEqual(more, []);
});

test("24 an older server gets one join for each item", async () => {
  const { server, wire } = await connected({}, Object.assign(new (await import("../testing.js")).FakeServer(), { hints: false }));
  await Promise.all(["a", "b"].map((id) => wire.item(id).join()));

  assert.deepEqual(sent(server.sockets[0]), ["join", "join"]);
});

test("24 an item that is refused for good is told and not asked for again", async () => {
  const { server, wire } = await connected();
  const item = wire.item("secret");
  const refusals = [];
  item.on("refused", (error) => refusals.push(error.reason));
  server.deny("secret", { code: "forbidden", retry: "never" });
  await assert.rejects(item.join(), { reason: "forbidden", retry: "never" });
  server.drop();
  await server.advance(600_000);
  assert.equal(item.state, "refused");
  assert.deepEqual(refusals, ["forbidden"]);
  assert.deepEqual(sent(server.sockets[1]), []);
  server.deny("secret", null);
  await item.join();

  assert.equal(item.state, "joined");
});

test("24 a temporary refusal is asked again after a drawn time", async () => {
  const { server, wire } = await connected();
  const item = wire.item("busy");
  server.deny("busy", { code: "overloaded", temporary: true, retry_after_ms: 1500 });
  const asked = item.join();
  await server.advance(2499);
  assert.equal(sent(server.sockets[0]).length, 1);
  server.deny("busy", null);
  await server.advance(1);
  await asked;

  assert.equal(item.state, "joined");
});

test("24 an item that the server ends is given up or joined again, as it says", async () => {
  const { server, item } = await joined();
  server.sockets[0].items.clear();
  server.send(server.sockets[0], { type: "ended", item: "order:1", reason: "overloaded", retry: "later" });
  await settled();
  assert.equal(item.state, "joining");
  await server.advance(5000);
  assert.equal(item.state, "joined");
  server.send(server.sockets[0], { type: "ended", item: "order:1", reason: "forbidden", retry: "never" });
  await settled();

  assert.equal(item.state, "refused");
});
