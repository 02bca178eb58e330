// A server that exists only in memory, for tests of programs that use the client.
//
// It has a clock that stands until `advance` moves it, and faults to order.

import { FakeClock } from "./fake_clock.js";
import { CLOSED, FakeSocket, OPEN } from "./fake_socket.js";

export { FakeClock, settled } from "./fake_clock.js";
export { FakeSocket } from "./fake_socket.js";

/** @typedef {{ [name: string]: any, type: string }} Envelope */
/** @typedef {{ code: string, temporary?: boolean, retry?: string, retry_after_ms?: number }} Refusal */

const BROKEN = 1006; // RFC 6455 section 7.4.1: the line broke, and nobody said why

/** A server in memory: `new ItemwireClient({ ...server.options, token })` connects to it. */
export class FakeServer {
  clock = new FakeClock();
  /** Every socket that a client has opened, the oldest first. @type {FakeSocket[]} */
  sockets = [];
  /** Whether it gives hints; without them it is a server of an earlier version. */
  hints = true;
  /** How long a token is valid, in seconds, from the handshake or refresh on. */
  lifetime = Infinity;
  /** How far its clock is ahead of the client's, in milliseconds. */
  skew = 0;
  /** Whether it holds back everything that clients should get. */
  isHeld = false;
  /** Whether no connection comes about. */
  isBlocked = false;
  /** Whether it does not react to a handshake at all. */
  isSilent = false;
  /** The random number that clients draw. */
  random = 0.5;
  /** The rights of every caller. */
  rights = ["subscribe", "publish", "history", "presence"];
  /**
   * Takes an envelope before the server does; true if it has been dealt with.
   * @type {(envelope: Envelope, socket: FakeSocket) => boolean | void}
   */
  intercept = () => {};

  /** @type {Map<string, ReturnType<typeof newItem>>} */
  #items = new Map();
  /** @type {Map<string, Refusal>} */
  #denied = new Map();
  /** @type {Map<string, (data: any, item: string) => any>} */
  #answers = new Map();
  /** @type {{ code: number, text: string }[]} */
  #refusals = [];
  /** @type {Set<(signal: "wake" | "sleep") => void>} */
  #listeners = new Set();
  #left = Infinity; // frames until the line breaks
  #connections = 0;

  /**
   * What a client needs to connect here.
   * @returns {{
   *   url: string, clock: FakeClock, random: () => number,
   *   WebSocket: new (url: string, protocols: string[]) => FakeSocket,
   *   signals: (tell: (signal: "wake" | "sleep") => void) => () => void,
   * }}
   */
  get options() {
    const server = this;
    return {
      url: "wss://fake.test/live",
      clock: this.clock,
      random: () => this.random,
      WebSocket: class extends FakeSocket {
        /** @param {string} url @param {string[]} protocols */
        constructor(url, protocols) {
          super(server, url, protocols);
          server._connecting(this);
        }
      },
      signals: (tell) => {
        this.#listeners.add(tell);
        return () => void this.#listeners.delete(tell);
      },
    };
  }

  /** The sockets that are open. */
  get open() {
    return this.sockets.filter(({ readyState }) => readyState === OPEN);
  }

  /** Every envelope that clients have sent, on whatever socket. */
  get frames() {
    return this.sockets.flatMap(({ frames }) => frames);
  }

  /** How many clients listen to signals. */
  get listeners() {
    return this.#listeners.size;
  }

  /** Move the clock. @param {number} [ms] */
  advance(ms = 0) {
    return this.clock.advance(ms);
  }

  /** Tell clients that their page or the network is back. */
  wake() {
    for (const tell of [...this.#listeners]) tell("wake");
  }

  /** Tell clients that their page is put away. */
  sleep() {
    for (const tell of [...this.#listeners]) tell("sleep");
  }

  /**
   * Publish a message from the server's side, and return its offset.
   * @param {string} item
   * @param {any} data
   * @param {Record<string, any>} [fields] more of the envelope
   */
  publish(item, data, fields = {}) {
    const channel = this.#item(item);
    const offset = ++channel.offset;
    const message = { type: "message", item, offset, sender: null, sent_at: this.#seconds(), data, ...fields };
    channel.messages.push(message);
    for (const socket of this.open) if (socket.items.has(item)) this.send(socket, message);
    return offset;
  }

  /** Answer requests of this name. @param {string} name @param {(data: any, item: string) => any} answer */
  answer(name, answer) {
    this.#answers.set(name, answer);
  }

  /** Refuse joins of an item, or no longer. @param {string} item @param {Refusal | null} refusal */
  deny(item, refusal) {
    if (refusal) this.#denied.set(item, refusal);
    else this.#denied.delete(item);
  }

  /**
   * Refuse the next handshakes.
   * @param {{ reason: string, retry?: string, code?: number, times?: number }} refusal
   */
  refuse({ reason, retry, code = 1008, times = 1 }) {
    const text = this.hints && retry ? `${reason};retry=${retry}` : reason;
    for (let time = 0; time < times; time++) this.#refusals.push({ code, text });
  }

  /** Forget what an item's history holds, as time does. @param {string} item */
  forget(item) {
    this.#item(item).messages = [];
  }

  /** Break every line, and begin every count again, as a server does that lost its store. */
  restart() {
    this.#items.clear();
    this.drop();
  }

  /** Break the lines that are open. */
  drop() {
    for (const socket of this.open) this.#close(socket, BROKEN, "");
  }

  /** Break the line after so many more frames to clients. @param {number} frames */
  dropAfter(frames) {
    this.#left = frames;
  }

  /** Let open lines carry nothing any more, and look open. */
  halfOpen() {
    for (const socket of this.open) socket.isHalfOpen = true;
  }

  /** Hold back all that clients should get. */
  hold() {
    this.isHeld = true;
  }

  /** Let no connection come about, or let them again. */
  block(isBlocked = true) {
    this.isBlocked = isBlocked;
  }

  /** Deliver what was held back, and hold nothing back any more. */
  release() {
    this.isHeld = false;
    for (const socket of this.sockets) socket._read();
  }

  /**
   * End open connections as the server does: with `closing`, and then the close frame.
   * @param {{ reason: string, retry: string, code?: number, retry_after_ms?: number }} ending
   */
  end({ reason, retry, code = 1012, retry_after_ms = 0 }) {
    for (const socket of this.open) {
      this.send(socket, { type: "closing", code, reason, retry, retry_after_ms });
      this.#close(socket, code, this.hints ? `${reason};retry=${retry}` : reason);
    }
  }

  /** Send an envelope to one client. @param {FakeSocket} socket @param {Envelope} envelope */
  send(socket, envelope) {
    if (socket.readyState === CLOSED) return;
    if (this.#left-- <= 0) {
      this.#left = Infinity;
      return this.#close(socket, BROKEN, "");
    }
    const frame = JSON.stringify(envelope);
    socket._event(() => socket.onmessage?.({ data: frame }));
  }

  /** @internal @param {FakeSocket} socket */
  _connecting(socket) {
    this.sockets.push(socket);
    if (this.isSilent) return;
    socket._event(() => {
      if (socket.readyState === CLOSED) return;
      if (this.isBlocked) {
        socket.onerror?.({});
        return this.#close(socket, BROKEN, "");
      }
      socket.readyState = OPEN;
      socket.onopen?.({});
      const refusal = this.#refusals.shift();
      if (refusal) this.#close(socket, refusal.code, refusal.text);
      else if (this.hints) this.send(socket, this.#hello());
    });
  }

  /** @internal @param {FakeSocket} socket @param {Envelope} envelope */
  _received(socket, envelope) {
    if (socket.readyState !== OPEN || this.intercept(envelope, socket)) return;
    const { type, ref } = envelope;
    if (type === "ping") return this.send(socket, { type: "pong", ref });
    if (type === "join") {
      for (const entry of envelope.items ?? [envelope]) this.#join(socket, ref, entry);
      return;
    }
    const answer = this.#commands[type]?.(envelope, socket);
    if (answer) this.send(socket, { type: "reply", ref, ...answer });
    else this.send(socket, { type: "error", ref, code: "not_supported", temporary: false });
  }

  /** @internal @param {FakeSocket} socket */
  _gone(socket) {
    for (const item of socket.items) this.#leave(socket, item);
  }

  /** @type {Record<string, (envelope: Envelope, socket: FakeSocket) => any>} */
  #commands = {
    leave: ({ item }, socket) => {
      this.#leave(socket, item);
      return {};
    },
    publish: ({ item, data, key, meta, end }) => {
      const channel = this.#item(item);
      const offset = channel.keys.get(key) ?? this.publish(item, data, { sender: "me", meta, end });
      channel.keys.set(key, offset);
      return { epoch: channel.epoch, offset };
    },
    history: ({ item, after = 0, before = Infinity, limit = 100 }) => {
      const { epoch, offset, messages } = this.#item(item);
      const found = messages.filter((message) => message.offset > after && message.offset < before);
      const shown = after ? found.slice(0, limit) : found.slice(-limit);
      return { epoch, offset, messages: shown, complete: shown.length === found.length };
    },
    members: ({ item, after = "", limit = 100 }) => {
      const all = [...this.#item(item).members.values()].sort((a, b) => (a.connection < b.connection ? -1 : 1));
      const members = all.filter(({ connection }) => connection > after).slice(0, limit);
      const next = members.length && members.at(-1) !== all.at(-1) ? members.at(-1)?.connection : undefined;
      return { members, count: all.length, next };
    },
    request: ({ item, name, data }) => {
      const answer = this.#answers.get(name);
      return answer && { data: answer(data, item) ?? null };
    },
    refresh: () => {
      const items = Object.fromEntries([...this.#items.keys()].map((item) => [item, this.rights]));
      const server_time = this.hints ? this.#seconds() : undefined;
      return { expires_at: this.#expiry(), can: this.rights, items, server_time };
    },
  };

  /** Add somebody to an item, and tell the others. @param {string} item @param {any} member */
  enter(item, member) {
    const type = this.#item(item).members.has(member.connection) ? "updated" : "joined";
    this.#item(item).members.set(member.connection, member);
    this.#announce(item, { type, item, member });
  }

  /** Remove somebody from an item, and tell the others. @param {string} item @param {any} member */
  exit(item, member) {
    this.#item(item).members.delete(member.connection);
    this.#announce(item, { type: "left", item, member });
  }

  /** @param {string} item @param {Envelope} envelope */
  #announce(item, envelope) {
    for (const socket of this.open) if (socket.items.has(item)) this.send(socket, envelope);
  }

  /** @param {FakeSocket} socket @param {number} ref @param {any} entry */
  #join(socket, ref, { item, since, replay = 0 }) {
    const denied = this.#denied.get(item) ?? (socket.items.has(item) ? { code: "already_joined" } : undefined);
    if (denied) return this.send(socket, { type: "error", ref, item, temporary: false, ...denied });
    const channel = this.#item(item);
    const { epoch, offset, messages } = channel;
    const [proof, place] = since?.split(":") ?? ["", "0"];
    const first = messages[0]?.offset ?? offset + 1;
    const recovered = Boolean(since) && proof.split(".")[0] === epoch && Number(place) >= first - 1;
    const all = [...channel.members.values()];
    socket.items.add(item);
    this.send(socket, {
      type: "welcome", ref, item, epoch, offset, was_recovering: Boolean(since), recovered,
      connection: "own", subject: "me", can: this.rights, resume: `${epoch}.0.proof`,
      expires_at: this.#expiry(), ping_interval: 20, max_message_bytes: 65_536,
      members: all.slice(0, 100), member_count: all.length,
      ...(this.hints && { server_time: this.#seconds() }),
    });
    const after = recovered ? Number(place) : offset - replay;
    for (const message of messages) if (message.offset > after) this.send(socket, message);
  }

  /** @param {FakeSocket} socket @param {string} item */
  #leave(socket, item) {
    socket.items.delete(item);
  }

  #hello() {
    return {
      type: "hello", connection: `c${++this.#connections}`, subject: "me", expires_at: this.#expiry(),
      server_time: this.#seconds(), ping_interval: 20, max_message_bytes: 65_536, max_items: 100,
    };
  }

  #expiry() {
    return this.lifetime === Infinity ? null : this.#seconds() + this.lifetime;
  }

  #seconds() {
    return (this.clock.now() + this.skew) / 1000;
  }

  /** @param {string} item */
  #item(item) {
    const known = this.#items.get(item) ?? newItem();
    this.#items.set(item, known);
    return known;
  }

  /** @param {FakeSocket} socket @param {number} code @param {string} reason */
  #close(socket, code, reason) {
    socket._event(() => {
      if (socket.readyState === CLOSED) return;
      socket.readyState = CLOSED;
      this._gone(socket);
      socket.onclose?.({ code, reason });
    });
  }
}

let epochs = 0;

function newItem() {
  return {
    epoch: `e${++epochs}`,
    offset: 0,
    /** @type {any[]} */ messages: [],
    /** @type {Map<string, any>} */ members: new Map(),
    /** @type {Map<string, number>} */ keys: new Map(),
  };
}
