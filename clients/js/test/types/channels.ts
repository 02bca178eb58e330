// What an application's types say is what its editor knows: checked by `tsc --strict`.

import { ItemwireClient, PublishUnconfirmed, Refused } from "itemwire";
import { msgpack } from "itemwire/msgpack";
import { ItemwireProvider, useItem, useMembers, useStatus } from "itemwire/react";
import { FakeServer } from "itemwire/testing";
import type { Item } from "itemwire";

interface Order {
  status: "packed" | "shipped";
}

interface Channels {
  [item: `order:${number}`]: {
    message: Order;
    requests: { mark_read: { request: { upto: number }; reply: { unread: number }; errors: "read_only" } };
  };
  lobby: { message: string; requests: {} };
}

const wire = new ItemwireClient<Channels>({ url: "/live", token: async ({ signal }) => (signal.aborted ? null : "t") });
const order = wire.item("order:42", { replay: 5 });
const lobby = wire.item("lobby");

export function declared(number: number, id: string): void {
  const one: Item<Channels[`order:${number}`]> = wire.item(`order:${number}`);
  // @ts-expect-error no channel has such an id
  wire.item("nowhere");
  // @ts-expect-error an order has a number
  wire.item("order:seven");
  // @ts-expect-error to name what an id holds declares nothing
  wire.item<Order>("nowhere");
  // @ts-expect-error it may be any id
  wire.item(id);
  wire.item(id as `order:${number}`).on("message", ({ data }) => console.log(data.status, one));
}

export async function typed(): Promise<void> {
  for await (const message of order) {
    const status: "packed" | "shipped" = message.data.status;
    // @ts-expect-error a status is no number
    const wrong: number = message.data.status;
    console.log(status, wrong, message.offset, message.sender);
  }
  const { unread } = await order.request("mark_read", { upto: 7 });
  const count: number = unread;
  // @ts-expect-error there is no such request
  await order.request("mark_unread", { upto: 7 });
  // @ts-expect-error upto is a number
  await order.request("mark_read", { upto: "7" });
  // @ts-expect-error the lobby answers nothing
  await lobby.request("mark_read");
  await lobby.publish("hello");
  // @ts-expect-error the lobby takes text
  await lobby.publish({ status: "packed" });
  const { position } = await order.publish({ status: "packed" }, { key: "k", retry: 2 });
  const place: string | null = position;
  const off: () => void = order.on("gap", ({ from, to }) => console.log(from + to));
  // @ts-expect-error no such event
  order.on("mesage", () => {});
  off();
  wire.on("state", (state) => {
    // @ts-expect-error no such state
    if (state === "conected") return;
  });
  console.log(count, place);
}

export async function untyped(): Promise<void> {
  const free = new ItemwireClient({ url: "wss://wire.example.com", token: "fixed", signals: false, codec: msgpack });
  const anything = free.item<Order>("order:42");
  anything.on("message", ({ data }) => console.log(data.status));
  for (const id of ["order:1", "lobby"]) free.item(id).on("message", ({ data }) => console.log(data.any.thing));
  const parsed = free.item("cursor:1", { parse: (data): Date => new Date(data) });
  parsed.on("message", ({ data }) => data.getTime());
  try {
    await free.item("order:1").publish({ any: "thing" });
  } catch (error) {
    if (error instanceof PublishUnconfirmed) console.log(error.key);
    if (error instanceof Refused) console.log(error.reason, error.retry, error.status);
  }
}

export function component(): Item<Channels["lobby"]> {
  const status: string = useStatus();
  const members = useMembers("lobby").map(({ subject }) => subject);
  console.log(status, members, ItemwireProvider);
  return useItem<Channels["lobby"]>("lobby", { onMessage: ({ data }) => data.toUpperCase() });
}

export async function tested(): Promise<number> {
  const server = new FakeServer();
  const client = new ItemwireClient({ ...server.options, token: "t" });
  await client.item("lobby").join();
  server.publish("lobby", "hello");
  await server.advance(1000);
  // @ts-expect-error what is internal is not in the types
  client._tell();
  return server.open.length;
}
