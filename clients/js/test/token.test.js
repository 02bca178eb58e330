// Behaviours 1 to 5: where tokens come from, and what happens where none comes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Refused } from "../itemwire.js";
import { settled } from "../testing.js";
import { connected, deferred, setUp } from "./scripted.js";

test("1 the callback is asked at every attempt, also after a wake and a drain", async () => {
  const { server, tokens } = await connected();
  server.drop();
  await server.advance(5000);
  server.end({ reason: "draining", retry: "now", retry_after_ms: 100 });
  await server.advance(5000);
  server.sleep();
  server.wake();
  await server.advance(1);

  assert.deepEqual(server.sockets.map(({ token }) => token), ["t1", "t2", "t3", "t4"]);
  assert.deepEqual(tokens.map(({ reason }) => reason), ["connect", "reconnect", "reconnect", "reconnect"]);
});

test("2 one call is in flight; a late answer is ignored after close and a newer attempt", async () => {
  const [first, second] = [deferred(), deferred()];
  const answers = [first, second];
  const signals = [];
  const token = ({ signal }) => {
    signals.push(signal);
    return answers.shift().promise;
  };
  const { server, wire } = setUp({ token });
  wire.connect();
  wire.connect();
  await settled();
  assert.equal(signals.length, 1);
  wire.close();
  assert.ok(signals[0].aborted);
  wire.connect();
  first.resolve("old");
  await settled();
  assert.equal(server.sockets.length, 0);
  second.resolve("new");
  await settled();

  assert.deepEqual(server.sockets.map(({ token }) => token), ["new"]);
});

test("2 a late answer is ignored after signOut", async () => {
  const answer = deferred();
  const { server, wire } = setUp({ token: () => answer.promise });
  wire.connect();
  wire.signOut();
  answer.resolve("of somebody else");
  await server.advance(60_000);

  assert.equal(server.sockets.length, 0);
});

test("3 a callback that throws is asked again after a while", async () => {
  let asked = 0;
  const token = () => {
    if (++asked < 3) throw new Error("the issuer is away");
    return "t";
  };
  const { server, wire, errors } = setUp({ token });
  wire.connect();
  await settled();
  assert.equal(wire.state, "connecting");
  await server.advance(10_000);

  assert.equal(wire.state, "connected");
  assert.equal(errors.length, 2);
});

for (const [said, error] of [
  ["by status", new Refused({ status: 401 })],
  ["by verdict", new Refused({ reason: "blocked", retry: "never" })],
  ["by an error of its own", Object.assign(new Error("no"), { status: 403 })],
]) {
  test(`3 a callback that says "unauthorised" ${said} stops the client`, async () => {
    const { server, wire, errors } = setUp({ token: () => Promise.reject(error) });
    wire.connect();
    await server.advance(600_000);

    assert.equal(wire.state, "refused");
    assert.deepEqual(errors, [error]);
    await assert.rejects(wire.ready(), error);
  });
}

test("3 a callback that hangs is given up in time and asked again", async () => {
  let asked = 0;
  const { server, wire, errors } = setUp({ token: () => (++asked === 1 ? new Promise(() => {}) : "t") });
  wire.connect();
  await server.advance(9_999);
  assert.equal(errors.length, 0);
  await server.advance(5_000);

  assert.equal(errors[0].reason, "token_timeout");
  assert.equal(wire.state, "connected");
});

test("4 a fixed token that expires stops with a clear error", async () => {
  const { server, wire, errors } = await connected({ token: "fixed" });
  server.end({ reason: "token_expired", retry: "token", code: 1008 });
  await server.advance(600_000);

  assert.equal(wire.state, "refused");
  assert.equal(errors[0].reason, "token_expired");
  assert.match(errors[0].message, /fixed token cannot be renewed/);
  assert.equal(server.sockets.length, 1);
});

for (const hints of [true, false]) {
  const server = hints ? "a server with hints" : "an older server";
  test(`5 the verdict "token" of ${server} is followed twice in a row, then it stops`, async () => {
    const all = setUp();
    all.server.hints = hints;
    all.server.refuse({ reason: "credentials_invalid", retry: "token", times: 9 });
    all.wire.connect();
    await all.server.advance(600_000);

    assert.equal(all.server.sockets.length, 3);
    assert.equal(all.wire.state, "refused");
    assert.equal(all.errors[0].reason, "credentials_invalid");
    assert.equal(all.errors[0].retry, "token");
    assert.deepEqual(all.tokens.map(({ reason }) => reason), ["connect", "refused", "refused"]);
  });
}

test("5 a connection in between begins the count again", async () => {
  const { server, wire } = setUp();
  for (let time = 0; time < 3; time++) {
    server.refuse({ reason: "token_expired", retry: "token", times: 2 });
    wire.connect();
    await server.advance(60_000);
    assert.equal(wire.state, "connected");
    server.drop();
  }
});
