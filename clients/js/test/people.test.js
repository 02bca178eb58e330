// Behaviours 28 to 31: members, handlers, and what is left of somebody who has signed out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeServer, settled } from "../testing.js";
import { connected, joined, listen, setUp } from "./scripted.js";

const member = (number, info) => ({ connection: `c${String(number).padStart(4, "0")}`, subject: `s${number}`, ...(info && { info }) });

const byConnection = (a, b) => (a.connection < b.connection ? -1 : 1);

test("28 welcome, pages, joined, left and updated converge to the server's list", async () => {
  const server = new FakeServer();
  const present = new Map();
  const enter = (number, info) => {
    present.set(number, member(number, info));
    server.enter("order:1", member(number, info));
  };
  const leave = (number) => {
    present.delete(number);
    server.exit("order:1", member(number));
  };
  for (let number = 0; number < 2300; number++) enter(number);
  const { wire } = await connected({}, server);
  const item = wire.item("order:1");
  let pages = 0;
  server.intercept = ({ type }) => {
    if (type === "members") {
      pages++; // between the pages some come, some go, on both sides of the page
      enter(3000 + pages);
      leave(10 * pages);
      leave(2000 + pages);
      enter(50, { away: pages });
    }
    return false;
  };
  await item.join();
  await settled();
  await settled();

  const expected = [...present.values()].sort(byConnection);
  assert.ok(pages >= 3);
  assert.deepEqual([...item.members].sort(byConnection), expected);
  leave(3001);
  enter(1, { busy: true });
  await settled();
  assert.equal(item.members.find(({ subject }) => subject === "s1").info.busy, true);
  assert.equal(item.members.length, present.size);
});

test("28 of a crowd the number is told, and the one that came last counts", async () => {
  const { server, item } = await joined();
  const told = [];
  item.on("members", (members) => told.push([item.memberCount, members.length]));
  const say = (envelope) => server.send(server.sockets[0], { item: "order:1", ...envelope });
  for (const envelope of [
    { type: "joined", member: member(1) },
    { type: "left", member: member(7) },
    { type: "count", member_count: 48213 },
    { type: "left", member: member(1) },
    { type: "joined", member: member(2) },
    { type: "count", member_count: 48212 },
  ]) {
    say(envelope);
    await settled();
  }
  const crowd = item.members;
  assert.deepEqual(told, [[1, 1], [1, 1], [48213, 1], [48212, 0], [48213, 1], [48212, 1]]);
  say({ type: "count", member_count: 1 });
  say({ type: "joined", member: member(3) });
  await settled();

  assert.deepEqual([item.memberCount, item.members.length, crowd.length], [2, 2, 1]);
});

test("28 the number is the server's in the welcome and in each page, and 0 without an item", async () => {
  const server = new FakeServer();
  for (let number = 0; number < 1200; number++) server.enter("order:1", member(number));
  const { wire } = await connected({}, server);
  const item = wire.item("order:1");
  const numbers = [];
  item.on("members", () => numbers.push(item.memberCount));
  await item.join();
  await settled();
  await settled();
  const seen = item.members.length;
  await item.leave();

  assert.deepEqual([numbers[0], seen, item.memberCount], [1200, 1200, 0]);
  assert.equal(numbers.slice(0, -1).every((number) => number === 1200), true);
});

test("28 after a break the list is the server's again", async () => {
  const { server, item } = await joined();
  const told = [];
  item.on("members", (members) => told.push(members.map(({ subject }) => subject)));
  server.enter("order:1", member(1));
  server.enter("order:1", member(2));
  await settled();
  server.drop();
  await settled();
  server.exit("order:1", member(1));
  await server.advance(5000);

  assert.deepEqual(told.at(-1), ["s2"]);
  assert.deepEqual(item.members, [member(2)]);
});

test("28 the list is the same object until somebody comes or goes, and empty after leave", async () => {
  const { server, item } = await joined();
  server.enter("order:1", member(1));
  await settled();
  const before = item.members;
  server.publish("order:1", "x");
  await settled();
  assert.equal(item.members, before);
  await item.leave();

  assert.deepEqual([item.members, item.memberCount], [[], 0]);
});

test("30 on returns its removal, once tells once, and a reconnect registers nothing again", async () => {
  const { server, item } = await joined();
  const [every, first, removed] = [[], [], []];
  item.on("message", ({ data }) => every.push(data));
  item.once("message", ({ data }) => first.push(data));
  const off = item.on("message", ({ data }) => removed.push(data));
  server.publish("order:1", "a");
  await settled();
  off();
  for (let time = 0; time < 3; time++) {
    server.drop();
    await server.advance(5000);
  }
  server.publish("order:1", "b");
  await settled();

  assert.deepEqual([every, first, removed], [["a", "b"], ["a"], ["a"]]);
});

test("30 a handler that another one removes is not called any more", async () => {
  const { server, item, told } = await joined();
  item.on("message", () => off());
  const seen = [];
  const off = item.on("message", ({ data }) => seen.push(data));
  server.publish("order:1", "a");
  await settled();

  assert.deepEqual([told, seen], [["a"], []]);
});

test("31 after signOut nothing of the earlier user is left", async () => {
  const users = ["alice", "bob"];
  let user = 0;
  const { server, wire, item } = await joined({ token: () => users[user] });
  server.enter("order:1", member(1));
  server.publish("order:1", "for alice");
  await settled();
  const told = listen(item);
  wire.signOut();
  user = 1;
  assert.deepEqual([item.state, item.position, item.rights, item.members], ["left", null, [], []]);
  assert.throws(() => item.join(), /signed out/);
  wire.connect();
  await settled();
  server.publish("order:1", "for those who have joined");
  await settled();
  assert.deepEqual(told, []);
  const anew = wire.item("order:1", { replay: 0 });
  assert.notEqual(anew, item);
  await anew.join();

  const [, second] = server.sockets;
  assert.equal(second.token, "bob");
  assert.deepEqual(second.frames.findLast(({ type }) => type === "join").items, [{ item: "order:1", replay: 0 }]);
});

test("31 signOut forgets a fixed token, and ends what was under way", async () => {
  const { server, wire } = setUp({ token: "of alice", queue: 1 });
  const item = wire.item("order:1");
  const asked = item.join();
  wire.signOut();
  await assert.rejects(asked, { reason: "closed" });
  wire.connect();
  await server.advance(10);

  assert.deepEqual(server.sockets.map(({ token }) => token), [null]);
  assert.throws(() => item.join(), /signed out/);
});

test("the same id is the same item; other options for it are refused", async () => {
  const { wire } = setUp();
  const parse = (data) => data;
  const item = wire.item("order:1", { replay: 5, parse });

  assert.equal(wire.item("order:1"), item);
  assert.equal(wire.item("order:1", { replay: 5, parse }), item);
  assert.throws(() => wire.item("order:1", { replay: 6, parse }), /other options/);
  assert.equal(wire.state, "idle");
});

test("join and ready connect where nobody has; ready is refused after close", async () => {
  const { server, wire } = setUp();
  await wire.ready();
  assert.equal(server.sockets.length, 1);
  wire.close();
  wire.close();

  await assert.rejects(wire.ready(), { reason: "closed" });
});

test("direct messages are told by the client", async () => {
  const { server, wire } = await connected();
  const told = [];
  wire.on("direct", ({ data }) => told.push(data));
  wire.on("direct_lost", () => told.push("lost"));
  server.send(server.sockets[0], { type: "direct", sender: null, sent_at: 1, data: "x" });
  server.send(server.sockets[0], { type: "direct_lost" });
  await settled();

  assert.deepEqual(told, ["x", "lost"]);
});
