// Behaviour 29, and what else the hooks promise, in React's StrictMode.

import assert from "node:assert/strict";
import { test } from "node:test";

import { JSDOM } from "jsdom";

import { ItemwireClient } from "../itemwire.js";
import { FakeServer, settled } from "../testing.js";
import { sent } from "./scripted.js";

const { window } = new JSDOM("<div id=root></div>");
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
globalThis.navigator ??= window.navigator; // newer Nodes have one
const { act, createElement, StrictMode, useState } = await import("react");
const { createRoot } = await import("react-dom/client");
const { ItemwireProvider, useItem, useMembers, useStatus } = await import("../react.js");

/** Draw a component below a provider in StrictMode; `text` is what it shows. */
async function draw(component, props = {}) {
  const server = new FakeServer();
  const client = new ItemwireClient({ ...server.options, token: "t" });
  const place = document.createElement("div");
  const root = createRoot(place);
  const show = (child) =>
    act(async () => {
      root.render(createElement(StrictMode, null, createElement(ItemwireProvider, { client }, child)));
      await settled();
    });
  await show(createElement(component, props));
  return {
    server,
    client,
    show,
    text: () => place.textContent,
    later: (f) => act(async () => (f(), await server.advance(0))),
    end: () => act(async () => (root.unmount(), await settled())),
  };
}

function Order({ onMessage }) {
  const item = useItem("order:1", { onMessage, replay: 5 });
  return `${useStatus()} ${item.state} ${useMembers("order:1").map(({ subject }) => subject)}`;
}

test("29 StrictMode gives one socket and one subscription", async () => {
  const seen = [];
  const { server, text, later, end } = await draw(Order, { onMessage: ({ data }) => seen.push(data) });
  assert.equal(server.sockets.length, 1);
  assert.deepEqual(sent(server.sockets[0]), ["join"]);
  assert.equal(text(), "connected joined ");
  await later(() => server.publish("order:1", "a"));
  assert.deepEqual(seen, ["a"]);
  await later(() => server.enter("order:1", { connection: "c", subject: "carol" }));
  assert.equal(text(), "connected joined carol");
  await end();

  assert.equal(server.open.length, 0);
  assert.deepEqual(sent(server.sockets[0]), ["join"]); // the socket's end says the rest
  assert.equal(server.clock.waiting, 0);
});

test("29 the newest handler is called, and drawing again joins nothing again", async () => {
  const seen = [];
  let next;
  function Counting() {
    const [count, setCount] = useState(0);
    next = () => setCount((known) => known + 1);
    useItem("order:1", { onMessage: ({ data }) => seen.push([count, data]), parse });
    return String(count);
  }
  const parse = (data) => data;
  const { server, text, later, end } = await draw(Counting);
  await later(next);
  await later(() => server.publish("order:1", "a"));

  assert.equal(text(), "1");
  assert.deepEqual(seen, [[1, "a"]]);
  assert.deepEqual(sent(server.sockets[0]), ["join"]);
  await end();
});

test("29 a component that goes leaves its item; another id is another item", async () => {
  function Viewer({ id }) {
    return useItem(id).state;
  }
  const { server, client, show, end } = await draw(Viewer, { id: "a" });
  await show(createElement(Viewer, { id: "b" }));
  assert.deepEqual(sent(server.sockets[0]), ["join", "leave", "join"]);
  assert.deepEqual([client.item("a").state, client.item("b").state], ["left", "joined"]);
  await show(null);
  assert.equal(client.item("b").state, "left");
  assert.equal(client.state, "connected");
  await end();

  assert.equal(client.state, "closed");
});

test("29 a break and its end are drawn", async () => {
  const { server, text, later, end } = await draw(Order);
  await later(() => server.drop());
  assert.equal(text(), "reconnecting joining ");
  await act(() => server.advance(5000));

  assert.equal(text(), "connected joined ");
  await end();
});

test("hooks without a provider say what is missing", async (t) => {
  t.mock.method(console, "error", () => {});
  const root = createRoot(document.createElement("div"));
  function Lonely() {
    useStatus();
  }

  await assert.rejects(async () => act(async () => root.render(createElement(Lonely))), /ItemwireProvider/);
});
