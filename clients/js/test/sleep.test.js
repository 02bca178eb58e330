// Behaviours 13 to 18: programs that sleep, pages that are hidden, lines that only look open.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ItemwireClient } from "../itemwire.js";
import { FakeServer, settled } from "../testing.js";
import { connected, joined, setUp } from "./scripted.js";

test("13 a line without a sign of life is given up, and one with it is not", async () => {
  const { server, wire } = await connected();
  await server.advance(600_000); // the server answers each probe
  assert.equal(server.sockets.length, 1);
  server.halfOpen();
  await server.advance(30_000 + 5_000);
  assert.equal(wire.state, "reconnecting");
  await server.advance(2_000);

  assert.equal(wire.state, "connected");
  assert.equal(server.sockets.length, 2);
});

test("13 what waits to be read counts, where all timers are overdue after a sleep", async () => {
  const { server, wire, item } = await joined();
  server.hold(); // what comes during the sleep is read only after it
  const answer = item.publish("x");
  await server.advance(29_000 - 20_000);
  await settled();
  const sleeping = server.clock.sleep(3_600_000);
  server.release();
  await sleeping;
  await server.advance(6_000);

  assert.equal((await answer).position, item.position);
  assert.equal(wire.state, "connected");
  assert.equal(server.sockets.length, 1);
});

test("14 a page that becomes visible checks its line and its token at once", async () => {
  const server = new FakeServer();
  server.lifetime = 3600;
  const { wire, tokens } = await connected({}, server);
  const [socket] = server.sockets;
  // A hidden page's timers may not run: nothing is advanced but the time itself.
  server.clock.now = ((now) => () => now() + 3_595_000)(server.clock.now);
  server.wake();
  await settled();

  assert.deepEqual(socket.frames.map(({ type }) => type), ["ping", "ping", "refresh"]);
  assert.equal(tokens.at(-1).reason, "refresh");
  assert.equal(wire.state, "connected");
});

test("15 a wake probes an open line, and replaces a dead one without back-off", async () => {
  const { server, wire } = await connected();
  server.wake();
  await server.advance(5_000);
  assert.equal(server.sockets.length, 1);
  server.halfOpen();
  server.wake();
  await server.advance(4_999);
  assert.equal(server.sockets.length, 1);
  await server.advance(1);

  assert.equal(server.sockets.length, 2);
  assert.equal(wire.state, "connected");
});

test("15 a wake ends the wait for the next attempt, once for each wake", async () => {
  const { server, wire } = setUp();
  server.block();
  wire.connect();
  await server.advance(100_000);
  const before = server.sockets.length;
  server.wake();
  server.wake();
  await server.advance(0);
  assert.equal(server.sockets.length, before + 1);
  server.block(false);
  await server.advance(1);
  server.wake();
  await server.advance(0);

  assert.equal(wire.state, "connected");
});

/** Give this program the globals of a page, and return what fires their events. */
function page() {
  const targets = { document: new EventTarget(), window: new EventTarget() };
  const listening = [];
  for (const target of Object.values(targets)) {
    const { addEventListener } = target;
    target.addEventListener = (event, f, options) => {
      listening.push([event, options.signal]);
      addEventListener.call(target, event, f, options);
    };
  }
  const addEventListener = (...all) => targets.window.addEventListener(...all);
  Object.assign(globalThis, { document: targets.document, addEventListener });
  return {
    events: () => listening.map(([event]) => event),
    open: () => listening.filter(([, signal]) => !signal.aborted),
    fire: (event, where = "window") => targets[where].dispatchEvent(new Event(event)),
    hide: (isHidden) => (targets.document.hidden = isHidden),
    end: () => ["document", "addEventListener"].forEach((name) => delete globalThis[name]),
  };
}

test("15 offline closes nothing; online, visible and resume probe", async (t) => {
  const tab = page();
  t.after(tab.end);
  const server = new FakeServer();
  const wire = new ItemwireClient({ ...server.options, signals: undefined });
  wire.connect();
  await settled();
  const [socket] = server.sockets;
  const pings = () => socket.frames.filter(({ type }) => type === "ping").length;
  tab.fire("offline");
  tab.hide(true);
  tab.fire("visibilitychange", "document");
  await server.advance(20_000);
  assert.equal(pings(), 1);
  assert.equal(wire.state, "connected");
  tab.hide(false);
  for (const [event, where] of [["online"], ["visibilitychange", "document"], ["resume", "document"]]) {
    const before = pings();
    tab.fire(event, where);
    assert.equal(pings(), before + 1, event);
  }
  wire.close();
});

test("16 signals can be passed in, and a zombie socket is found in seconds", async () => {
  let tell;
  let isOver = false;
  const signals = (given) => {
    tell = given;
    return () => (isOver = true);
  };
  const { server, wire } = await connected({ signals });
  server.halfOpen();
  tell("wake");
  await server.advance(5_000);
  assert.equal(server.sockets.length, 2);
  wire.close();

  assert.ok(isOver);
});

test("17 a page that is put away closes its socket, and connects again when it is back", async (t) => {
  const tab = page();
  t.after(tab.end);
  const server = new FakeServer();
  const wire = new ItemwireClient({ ...server.options, signals: undefined });
  const item = wire.item("order:1");
  const told = [];
  item.on("message", ({ data }) => told.push(data));
  await item.join();
  tab.fire("pagehide");
  assert.equal(server.open.length, 0);
  assert.equal(server.sockets[0].closedWith, 4000);
  server.publish("order:1", "meanwhile");
  await server.advance(600_000);
  assert.equal(server.sockets.length, 1);
  tab.fire("pageshow");
  await server.advance(0);

  assert.equal(wire.state, "connected");
  assert.deepEqual(told, ["meanwhile"]);
  assert.ok(!tab.events().some((event) => event.endsWith("unload")));
  wire.close();
});

test("18 all listeners are gone after close, after signOut and after a refusal", async (t) => {
  const tab = page();
  t.after(tab.end);
  for (const end of ["close", "signOut", "refusal"]) {
    const server = new FakeServer();
    const wire = new ItemwireClient({ ...server.options, signals: undefined });
    wire.on("error", () => {});
    wire.connect();
    await settled();
    if (end === "refusal") server.end({ reason: "forbidden", retry: "never", code: 1008 });
    else wire[end]();
    await settled();

    assert.ok(tab.events().length > 0);
    assert.deepEqual(tab.open(), [], end);
    assert.equal(server.clock.waiting, 0, end);
  }
});
