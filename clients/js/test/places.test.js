// Behaviours 32 to 35: programs of every kind, wires of the future, and clocks that are wrong.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import vm from "node:vm";

import { FakeServer, settled } from "../testing.js";
import { connected, joined, setUp } from "./scripted.js";

test("32 importing it reads no global of a browser or of Node", async () => {
  const text = await readFile(new URL("../itemwire.js", import.meta.url), "utf8");
  const read = [];
  const allowed = new Set(Reflect.ownKeys(vm.runInNewContext("globalThis")));
  for (const name of vm.runInNewContext("Object.getOwnPropertyNames(globalThis)")) allowed.add(name);
  const strict = new Proxy({}, {
    has: (_, name) => !allowed.has(name),
    get: (_, name) => (typeof name === "string" ? read.push(name) : undefined),
  });
  const body = text.replace(/^export /gm, "");
  assert.doesNotMatch(text, /^\s*import\b/m);
  new Function("globals", `with (globals) { (() => { ${body} })() }`)(strict);

  assert.deepEqual(read, []);
});

test("33 binary is read without Buffer", async (t) => {
  const { Buffer } = globalThis;
  delete globalThis.Buffer;
  t.after(() => (globalThis.Buffer = Buffer));
  const { server, item, told } = await joined();
  server.publish("order:1", "AAH/", { encoding: "base64" });
  await settled();

  assert.deepEqual(told, [Uint8Array.of(0, 1, 255)]);
  assert.deepEqual((await item.history()).messages[0].data, Uint8Array.of(0, 1, 255));
});

test("34 unknown types and fields are ignored", async () => {
  const { server, wire, told, errors } = await joined();
  const [socket] = server.sockets;
  for (const type of ["novelty", "ping", "constructor", undefined, 7]) {
    server.send(socket, { type, item: "order:1", ref: 99_999, offset: 1 });
    server.send(socket, { type, item: "of nobody" });
  }
  server.send(socket, { type: "error", code: "about nothing that was asked" });
  server.send(socket, { type: "message", item: "of nobody", offset: 1, data: "x" });
  server.publish("order:1", "a", { novelty: true });
  await settled();

  assert.deepEqual(told, ["a"]);
  assert.deepEqual(errors, []);
  assert.equal(wire.state, "connected");
});

test("34 what is no envelope is told and ends nothing", async () => {
  const { server, wire, errors } = await joined();
  const [{ onmessage }] = server.sockets;
  for (const data of ["{", "null", "7", '"x"', "[]"]) onmessage({ data });
  await settled();

  assert.equal(errors.length, 2); // of "{" and null: the others have no type that we know
  assert.equal(wire.state, "connected");
});

for (const text of ["novelty", "novelty;retry=whenever", "novelty;retry=later", ""]) {
  test(`34 an unknown reason (${text || "none"}) is taken as "later"`, async () => {
    const { server, wire } = setUp();
    server.hints = false;
    server.refuse({ reason: text, code: 4321 });
    wire.connect();
    await settled();
    assert.equal(wire.state, "connecting");
    await server.advance(5000);

    assert.equal(wire.state, "connected");
  });
}

test("34 an unknown verdict on a join is taken as \"later\"", async () => {
  const { server, wire } = await connected();
  server.deny("order:1", { code: "novelty", retry: "whenever" });
  const asked = wire.item("order:1").join();
  await settled();
  server.deny("order:1", null);
  await server.advance(5000);

  await asked;
});

for (const hours of [-5, 5]) {
  test(`35 a clock that is ${hours} hours wrong renews the token in time`, async () => {
    const server = new FakeServer();
    server.skew = hours * 3_600_000;
    server.lifetime = 600;
    const { wire } = await connected({}, server);
    await server.advance(538_000);
    assert.ok(!server.frames.some(({ type }) => type === "refresh"));
    await server.advance(3_000);

    assert.equal(server.frames.filter(({ type }) => type === "refresh").length, 1);
    assert.equal(wire.state, "connected");
  });
}

test("35 a token that lives for months is no timer that fires at once", async () => {
  const server = new FakeServer();
  server.lifetime = 90 * 86_400;
  const { tokens } = await connected({}, server);
  const { setTimeout } = server.clock;
  server.clock.setTimeout = (f, ms) => {
    assert.ok(ms < 2 ** 31);
    return setTimeout(f, ms);
  };
  for (let month = 0; month < 3; month++) {
    await server.clock.sleep(29 * 86_400_000);
    await server.advance(2000); // what was overdue has been done
    assert.equal(tokens.length, 1);
  }
  await server.clock.sleep(3 * 86_400_000);
  await server.advance(2000);

  assert.equal(tokens.length, 2);
});

test("the address: a path is the page's own, http is ws, and a query stays", async (t) => {
  globalThis.location = { origin: "https://shop.test" };
  t.after(() => delete globalThis.location);
  const dialled = async (url, token) => {
    const { server, wire } = setUp({ url, token });
    wire.connect();
    await settled();
    wire.close();
    return [server.sockets[0].url, server.sockets[0].protocols.slice(1)];
  };
  const hints = "ws?hints=1&heartbeat=25";

  assert.deepEqual(await dialled("/live"), [`wss://shop.test/live/${hints}`, []]);
  assert.deepEqual(await dialled("http://a.test"), [`ws://a.test/${hints}`, []]);
  assert.deepEqual(await dialled("wss://a.test/"), [`wss://a.test/${hints}`, []]);
  assert.deepEqual(await dialled("wss://a.test/live/ws", "a.b-c"), [`wss://a.test/live/${hints}`, ["itemwire.token.a.b-c"]]);
  assert.deepEqual(await dialled("wss://a.test/news?x=1"), [`wss://a.test/news/${hints}&x=1`, []]);
});

test("a URL that no socket takes is told at each attempt, and ends nothing else", async () => {
  const { server, wire, errors } = setUp({
    WebSocket: class {
      constructor() {
        throw new SyntaxError("bad URL");
      }
    },
  });
  wire.connect();
  await server.advance(1500);

  assert.deepEqual(errors.map(({ message }) => message), ["bad URL", "bad URL"]);
  wire.close();
  assert.equal(server.clock.waiting, 0);
});
