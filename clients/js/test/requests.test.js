// Behaviours 25 to 27: what is asked, what is not answered, and tokens that are renewed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PublishUnconfirmed, Refused } from "../itemwire.js";
import { FakeServer, settled } from "../testing.js";
import { connected, deferred, joined, sent, setUp } from "./scripted.js";

const publishes = (server) => server.frames.filter(({ type }) => type === "publish");

test("25 a publish without an answer is unconfirmed, with the key to ask again by", async () => {
  const { server, item, told } = await joined();
  const answer = server.send;
  server.send = () => {}; // it is stored, and the line is silent
  const asked = item.publish("x").catch((error) => error);
  await settled();
  server.send = answer;
  server.drop();
  const error = await asked;
  assert.ok(error instanceof PublishUnconfirmed);
  await server.advance(60_000);
  const { position } = await item.publish("x", { key: error.key });

  assert.match(position, /:1$/);
  assert.deepEqual(told, ["x"]);
  assert.deepEqual(publishes(server).map(({ key }) => key), [error.key, error.key]);
});

test("25 a key may be given, and each publish without one has its own", async () => {
  const { server, item } = await joined();
  const { key } = await item.publish("a", { key: "mine", meta: { trace: "1" }, end: true });
  await item.publish("b");

  const [first, second] = publishes(server);
  assert.equal(key, "mine");
  assert.deepEqual([first.meta, first.end], [{ trace: "1" }, true]);
  assert.match(second.key, /^\d+-[\w.]+$/);
});

test("25 if asked, it is published again with the same key, and stored once", async () => {
  const { server, item, told } = await joined();
  server.intercept = ({ type }, socket) => {
    if (type !== "publish") return false;
    server.intercept = () => {};
    server._received(socket, publishes(server)[0]); // it is stored,
    server.dropAfter(0); // and the answer is lost
    return false;
  };
  const asked = item.publish("x", { retry: 2 });
  await server.advance(20_000);

  assert.match((await asked).position, /:1$/);
  assert.equal(new Set(publishes(server).map(({ key }) => key)).size, 1);
  assert.deepEqual(told, ["x"]);
});

test("25 a publish that the server refuses is refused, and not asked again", async () => {
  const { server, item } = await joined();
  server.intercept = ({ type, ref }, socket) => {
    if (type !== "publish") return false;
    server.send(socket, { type: "error", ref, code: "scope_missing", temporary: false, detail: "publish" });
    return true;
  };

  await assert.rejects(item.publish("x", { retry: 5 }), { name: "Refused", reason: "scope_missing", retry: "never" });
  assert.equal(publishes(server).length, 1);
});

test("25 without a queue nothing waits for a connection; with one, so many do", async () => {
  const { server, item } = await joined();
  server.drop();
  await settled();
  await assert.rejects(item.publish("x"), { reason: "not_connected", retry: "later" });

  const other = await joined({ queue: 2 });
  other.server.drop();
  await settled();
  const asked = ["a", "b", "c"].map((data) => other.item.publish(data));
  await assert.rejects(asked[2], { reason: "not_connected" });
  await other.server.advance(5_000);
  await Promise.all(asked.slice(0, 2));
  assert.deepEqual(other.told, ["a", "b"]);
});

test("25 what waits in the queue waits no longer than a request", async () => {
  const { server, item } = await joined({ queue: 1 });
  server.block();
  server.drop();
  await settled();
  const asked = assert.rejects(item.publish("x"), { reason: "not_connected" });
  await server.advance(10_000);

  await asked;
});

test("26 each request has a time, late answers are ignored, and no ref is used twice", async () => {
  const { server, item, errors } = await joined();
  server.answer("slow", () => "late");
  server.hold();
  const asked = [item.request("slow"), item.history(), item.publish("x")];
  const outcomes = Promise.allSettled(asked);
  await server.advance(9_999);
  await server.advance(1);
  assert.deepEqual((await outcomes).map(({ reason }) => reason.reason ?? reason.name), ["timeout", "timeout", "PublishUnconfirmed"]);
  server.release();
  await settled();
  assert.equal(await item.request("slow"), "late");
  server.drop();
  await server.advance(10_000);
  await item.request("slow");

  const refs = server.frames.filter(({ type }) => type !== "ping").map(({ ref }) => ref);
  assert.equal(new Set(refs).size, refs.length);
  assert.deepEqual(errors, []);
});

test("26 a join that is never answered is asked again", async () => {
  const { server, wire } = await connected();
  let isDeaf = true;
  server.intercept = ({ type }) => isDeaf && type === "join";
  const asked = wire.item("order:1").join();
  await server.advance(29_999);
  isDeaf = false;
  await server.advance(5_000);
  await asked;

  assert.deepEqual(sent(server.sockets[0]), ["join", "join"]);
});

test("26 a join is known as done by a welcome that comes late", async () => {
  const { server, wire } = await connected();
  server.hold();
  const asked = wire.item("order:1").join();
  await server.advance(4_000);
  server.release();
  await asked;
  await server.advance(60_000);

  assert.deepEqual(sent(server.sockets[0]), ["join"]);
});

test("26 the reply to a request is its data; its refusal has the code and the advice", async () => {
  const { server, item } = await joined();
  server.answer("mark_read", ({ upto }) => ({ unread: upto - 1 }));
  assert.deepEqual(await item.request("mark_read", { upto: 7 }), { unread: 6 });
  server.intercept = ({ ref }, socket) => {
    server.send(socket, { type: "error", ref, code: "sold_out", temporary: false, retry: "later", detail: "d" });
    return true;
  };

  await assert.rejects(item.request("mark_read", { upto: 7 }), { reason: "sold_out", retry: "later", message: "sold_out: d" });
});

const isRefresh = ({ type }) => type === "refresh";

test("27 the token is renewed before it ends, on the open socket", async () => {
  const server = new FakeServer();
  server.lifetime = 600;
  const { tokens, wire } = await connected({}, server);
  await server.advance(539_000);
  assert.equal(tokens.length, 1);
  await server.advance(2_000);
  assert.deepEqual(server.frames.filter(isRefresh).map(({ token }) => token), ["t2"]);
  await server.advance(540_000);

  assert.equal(server.frames.filter(isRefresh).length, 2);
  assert.equal(wire.state, "connected");
  assert.equal(server.sockets.length, 1);
});

test("27 an older server's warning renews it as well, and the program hears it", async () => {
  const server = new FakeServer();
  server.hints = false;
  server.lifetime = 600;
  const { wire } = await connected({}, server);
  const warnings = [];
  wire.on("expiring", ({ expires_at }) => warnings.push(expires_at));
  await server.advance(550_000);
  assert.equal(server.frames.filter(isRefresh).length, 0);
  server.send(server.sockets[0], { type: "expiring", expires_at: 7 });
  await settled();

  assert.equal(server.frames.filter(isRefresh).length, 1);
  assert.deepEqual(warnings, [7]);
});

test("27 it is asked again until the token ends, in one chain", async () => {
  const server = new FakeServer();
  server.lifetime = 600;
  let asked = 0;
  let inFlight = 0;
  const token = async () => {
    assert.equal(inFlight++, 0);
    await settled();
    inFlight--;
    if (++asked > 1 && asked < 5) throw new Error("the issuer is away");
    return `t${asked}`;
  };
  const { errors } = await connected({ token }, server);
  for (let second = 535; second < 600; second++) {
    await server.advance(second === 535 ? 535_000 : 1000);
    server.send(server.sockets[0], { type: "expiring", expires_at: server.clock.now() / 1000 + 600 - second });
    server.wake();
  }

  assert.equal(errors.length, 3);
  assert.deepEqual(server.frames.filter(isRefresh).at(0).token, "t5");
  assert.equal(server.sockets.length, 1);
});

test("27 a temporary refusal of the refresh is followed by another try", async () => {
  const server = new FakeServer();
  server.lifetime = 600;
  server.intercept = ({ type, ref }, socket) => {
    if (type !== "refresh") return false;
    server.intercept = () => {};
    server.send(socket, { type: "error", ref, code: "overloaded", temporary: true });
    return true;
  };
  const { wire } = await connected({}, server);
  await server.advance(560_000);

  assert.equal(server.frames.filter(isRefresh).length, 2);
  assert.equal(wire.state, "connected");
});

test("27 a refresh that a reconnect overtakes does not go on", async () => {
  const server = new FakeServer();
  server.lifetime = 600;
  const late = deferred();
  let asked = 0;
  const token = () => (++asked === 2 ? late.promise : `t${asked}`);
  await connected({ token }, server);
  await server.advance(541_000);
  assert.equal(asked, 2);
  server.drop();
  await server.advance(5_000);
  late.resolve("late");
  await settled();
  assert.equal(server.frames.filter(isRefresh).length, 0);
  await server.advance(541_000);

  assert.deepEqual(server.frames.filter(isRefresh).map(({ token }) => token), ["t4"]);
});

test("27 who is unauthorised by then is signed off at once", async () => {
  const server = new FakeServer();
  server.lifetime = 600;
  let asked = 0;
  const token = () => {
    if (++asked > 1) throw new Refused({ status: 401 });
    return "t";
  };
  const { wire } = await connected({ token }, server);
  await server.advance(541_000);

  assert.equal(wire.state, "refused");
  assert.equal(server.open.length, 0);
});

test("27 the rights after a refresh are the item's", async () => {
  const server = new FakeServer();
  server.lifetime = 600;
  server.rights = ["subscribe"];
  const { wire } = await connected({}, server);
  const item = wire.item("order:1");
  await item.join();
  assert.deepEqual(item.rights, ["subscribe"]);
  server.enter("order:1", { connection: "a", subject: "alice" });
  server.rights = ["subscribe", "presence"];
  await server.advance(541_000);

  assert.deepEqual(item.rights, ["subscribe", "presence"]);
  assert.deepEqual(item.members.map(({ subject }) => subject), ["alice"]);
});

test("27 a callback that returns the same token is not asked without end", async () => {
  const { server, wire } = setUp({ token: "unused" });
  let asked = 0;
  wire.close();
  const same = await connected({ token: () => (asked++, "same") }, Object.assign(server, { lifetime: 600 }));
  const end = server.clock.now() / 1000 + 600;
  server.intercept = ({ type, ref }, socket) => {
    if (type !== "refresh") return false;
    server.send(socket, { type: "reply", ref, expires_at: end, can: [] });
    return true;
  };
  await server.advance(599_000);

  assert.ok(asked < 20, `${asked} calls`);
  assert.equal(same.wire.state, "connected");
});
