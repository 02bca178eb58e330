// React: the client from context, and hooks that join while a component is on the page.

import {
  createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useSyncExternalStore,
} from "react";

/**
 * @import { ItemwireClient, Item } from "./itemwire.js"
 * @import { AnyChannel, Gap, ItemOptions, Member, Message, State } from "./types.js"
 * @import { ReactNode } from "react"
 */

/** @type {import("react").Context<ItemwireClient<any> | null>} */
const Context = createContext(/** @type {ItemwireClient<any> | null} */ (null));
/** @type {readonly Member[]} */
const NOBODY = [];
/** How many providers hold a client. @type {WeakMap<ItemwireClient<any>, number>} */
const holds = new WeakMap();

/**
 * Give the client to the components below, and keep it connected while they are there.
 * @param {{ client: ItemwireClient<any>, children?: ReactNode }} props
 */
export function ItemwireProvider({ client, children }) {
  useEffect(() => {
    holds.set(client, (holds.get(client) ?? 0) + 1);
    client.connect();
    return () => {
      holds.set(client, (holds.get(client) ?? 1) - 1);
      // StrictMode takes everything down and sets it up again at once: that is not the end.
      queueMicrotask(() => {
        if (!holds.get(client)) client.close();
      });
    };
  }, [client]);
  return createElement(Context.Provider, { value: client }, children);
}

/**
 * Return the client of the nearest `ItemwireProvider`.
 * @returns {ItemwireClient<any>}
 */
export function useItemwire() {
  const client = useContext(Context);
  if (!client) throw new Error("useItem and its like need an <ItemwireProvider> around them");
  return client;
}

/** Return the state of the connection, and draw again when it changes. @returns {State} */
export function useStatus() {
  const client = useItemwire();
  const subscribe = useCallback((/** @type {() => void} */ changed) => client.on("state", changed), [client]);
  return useSyncExternalStore(subscribe, () => client.state, () => "idle");
}

/**
 * Join an item while the component is there; draw again when its state changes.
 * @template {AnyChannel} [Channel=AnyChannel]
 * @param {string} id
 * @param {ItemOptions<Channel["message"]> & {
 *   onMessage?: (message: Message<Channel["message"]>) => void, onGap?: (gap: Gap) => void,
 * }} [options]
 * @returns {Item<Channel>}
 */
export function useItem(id, { onMessage, onGap, ...options } = {}) {
  const client = useItemwire();
  const item = useMemo(() => own(client, id, options), [client, id]); // the first options hold
  const latest = useRef({ onMessage, onGap });
  useEffect(() => {
    latest.current = { onMessage, onGap };
  });
  useEffect(() => {
    const offs = [
      item.on("message", (message) => latest.current.onMessage?.(message)),
      item.on("gap", (gap) => latest.current.onGap?.(gap)),
    ];
    item.join();
    return () => {
      for (const off of offs) off();
      item.leave();
    };
  }, [item]);
  const subscribe = useCallback((/** @type {() => void} */ changed) => item.on("state", changed), [item]);
  useSyncExternalStore(subscribe, () => item.state, () => "left");
  return item;
}

/**
 * Join an item while the component is there, and return its members; draw again when they change.
 * @param {string} id
 * @returns {readonly Member[]}
 */
export function useMembers(id) {
  const client = useItemwire();
  const item = useMemo(() => client.item(id), [client, id]);
  const subscribe = useCallback(
    (/** @type {() => void} */ changed) => {
      const off = item.on("members", changed);
      item.join();
      return () => {
        off();
        item.leave();
      };
    },
    [item],
  );
  return useSyncExternalStore(subscribe, () => item.members, () => NOBODY);
}

/**
 * @param {ItemwireClient<any>} client
 * @param {string} id
 * @param {ItemOptions} options
 */
function own(client, id, options) {
  return client.item(id, Object.keys(options).length ? options : undefined);
}
