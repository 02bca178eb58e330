// The JavaScript client of Itemwire: one connection, and the items that a program follows on it.
//
// One file without dependencies, which runs as it is in browsers, Node, Deno, Bun and workers.
// It reads no global before `connect`.

const LONGEST_TIMER = 2 ** 31 - 1; // milliseconds: browsers fire a longer one at once
const PROBE = 5000; // milliseconds that an idle connection has to answer, once it is in doubt
const OVERDUE = 1000; // a timer this late shows that the program slept
const MAX_BACKLOG = 1000; // messages that an iterator, or a frame to come, may hold
const TOKEN_TRIES = 2; // how often in a row a new token is fetched because one was refused
const REFRESH_LEAD = 60_000; // milliseconds before its end that a token is renewed, or half its time
const FIRST_REFRESH = 1000; // the first window of waits after a refresh that failed
const ENTRY = 400; // bytes of one item in a list of joins, at most
const AWAY = 4000; // a close code by which the server waits for us, as it does after a broken line

/**
 * @import {
 *   AnyChannel, AnyChannels, AnyRequest, Clock, Codec, Gap, ItemOptions, ItemState, Member, Message,
 *   Options, Retry, Signals, State, Token, TokenRequest, Undeclared,
 * } from "./types.js"
 */
/** @typedef {[(value?: any) => void, (error: Error) => void]} Waiter */

/** @type {(value?: any) => void} */
const noop = () => {};
const same = (/** @type {any} */ value) => value;

/** What the server, or the token callback, has refused. */
export class Refused extends Error {
  name = "Refused";

  /**
   * @param {{
   *   reason?: string, retry?: Retry, status?: number, detail?: string | false, code?: any,
   *   temporary?: boolean,
   * }} refusal `code` and `temporary` are what an `error` of a server without hints has.
   */
  constructor({ code, reason = code ?? "refused", retry, status = 0, detail, temporary }) {
    super(detail ? `${reason}: ${detail}` : reason);
    this.reason = reason;
    this.status = status;
    const isFinal = temporary === false || status === 401 || status === 403;
    /** @type {Retry} */
    this.retry = retry ?? (isFinal ? "never" : "later");
  }
}

/** A message that was sent and not answered: it may be stored. Ask again with the same key. */
export class PublishUnconfirmed extends Error {
  name = "PublishUnconfirmed";

  /** @param {string} key */
  constructor(key) {
    super("not answered: publish again with the same key");
    this.key = key;
  }
}

/** @type {Clock} */
const REAL_CLOCK = {
  now: () => Date.now(),
  setTimeout: (f, ms) => setTimeout(f, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** @type {Codec} */
const JSON_CODEC = {
  protocol: "itemwire.v1.json",
  encode: JSON.stringify,
  decode: JSON.parse,
};

/**
 * Tell when a page or the network comes back, and when a page goes.
 * @type {Signals}
 */
const pageSignals = (tell) => {
  const { document } = /** @type {any} */ (globalThis);
  const listening = new AbortController();
  const wake = () => tell("wake");
  const on = (/** @type {any} */ target, /** @type {string} */ event, f = wake) =>
    target?.addEventListener?.(event, f, listening);
  on(globalThis, "online");
  on(globalThis, "pageshow");
  on(globalThis, "pagehide", () => tell("sleep")); // an open socket keeps a page out of the bfcache
  on(document, "resume");
  on(document, "visibilitychange", () => document.hidden || wake());
  return () => listening.abort();
};

/**
 * Return the payload of an envelope: bytes travel as base64 where the codec has none.
 * @param {{ data: any, encoding?: string }} envelope
 */
function payload({ data, encoding }) {
  if (encoding !== "base64") return data;
  return Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
}

/**
 * Something that tells its events to those who registered.
 * @template {Record<string, any>} Events
 */
class Emitter {
  /** @internal @type {Record<string, Set<(value: any) => void>>} */
  _handlers = {};

  /**
   * Call a function at each event; return the function that ends it.
   * @template {keyof Events & string} Name
   * @param {Name} event
   * @param {(value: Events[Name]) => void} handler
   * @returns {() => void}
   */
  on(event, handler) {
    const own = (/** @type {any} */ value) => handler(value); // registered twice: called twice
    const handlers = (this._handlers[event] ??= new Set()).add(own);
    return () => void handlers.delete(own);
  }

  /**
   * Call a function at the next event only; return the function that ends it before.
   * @template {keyof Events & string} Name
   * @param {Name} event
   * @param {(value: Events[Name]) => void} handler
   * @returns {() => void}
   */
  once(event, handler) {
    const off = this.on(event, (value) => {
      off();
      handler(value);
    });
    return off;
  }
}

/**
 * One item: what is told there, who is there, and what may be asked about it.
 * `ItemwireClient.item` returns it; it joins by `join()` or by being iterated over.
 * @template {AnyChannel} [Channel=AnyChannel]
 * @extends {Emitter<{
 *   message: Message<Channel["message"]>, gap: Gap, members: readonly Member[], state: ItemState,
 *   refused: Refused, end: Error | undefined,
 * }>}
 */
export class Item extends Emitter {
  /** The position of the newest message that was handed over: `<epoch>:<offset>`.
   * @type {string | null} */
  position = null;
  /** What the caller may do here.
   * @type {string[]} */
  rights = [];

  /** @type {ItemwireClient<any>} */
  #wire;
  #wishes = 0; // how many have joined and not left
  #stay = 0; // a number for each time between join and leave: what was meant for one ends with it
  /** @type {"left" | "joining" | "joined" | "leaving" | "later"} */
  #phase = "left";
  /** @type {Refused | null} */
  #refusal = null;
  /** @type {ItemState} */
  #told = "left";
  #ref = 0; // of the last join
  #failures = 0;
  #epoch = "";
  /**
   * The offset of the newest message that has arrived, or one that need not: a half less than the
   * newest of a channel, whose last message comes then if the channel retains it.
   */
  #last = 0;
  #resume = ""; // what proves to the server that we were here, if it has given that
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** @type {readonly Member[] | null} */
  #list = [];
  #unlisted = 0; // members of a large audience that the server only counts
  /** @type {Waiter[]} */
  #waiting = [];

  /**
   * @internal
   * @param {ItemwireClient<any>} wire
   * @param {string} id
   * @param {ItemOptions} options
   */
  constructor(wire, id, options) {
    super();
    this.id = id;
    this.#wire = wire;
    /** @internal */
    this._options = options;
    if (!options.since) return;
    this.position = options.since;
    const [epoch, offset] = options.since.split(":");
    this.#epoch = epoch;
    this.#last = +offset;
  }

  /** @returns {ItemState} */
  get state() {
    if (this.#refusal) return "refused";
    if (!this.#wishes) return "left";
    return this.#phase === "joined" ? "joined" : "joining";
  }

  /** Who is on the item; the same array until something changes.
   * @returns {readonly Member[]} */
  get members() {
    return (this.#list ??= [...this.#members.values()]);
  }

  /** How many are on the item, which may be more than are listed. */
  get memberCount() {
    return this.#unlisted + this.#members.size;
  }

  /**
   * Join, and return when the server has welcomed us; each `join` needs a `leave`.
   * @returns {Promise<void>}
   */
  join() {
    this.#wire._touch(this);
    this.#wishes++;
    this.#refusal = null;
    this.#changed();
    const joined = /** @type {Promise<void>} */ (new Promise((resolve, reject) => {
      if (this.#phase === "joined") resolve();
      else this.#waiting.push([resolve, reject]);
    }));
    joined.catch(noop); // `refused` tells it as well: who does not wait need not catch
    return joined;
  }

  /**
   * Leave, if nobody else here wants the item: from now on nothing of it is delivered.
   * @returns {Promise<void>}
   */
  async leave() {
    if (!this.#wishes || --this.#wishes) return;
    this._stop(new Refused({ reason: "left" }), true);
    this.#wire._touch(this);
  }

  /**
   * Publish a message, and return when it is stored.
   * @param {Channel["message"]} data
   * @param {{ key?: string, retry?: number, meta?: Record<string, string>, end?: boolean }} [options]
   * `retry`: how often to ask again, with the same key, where no answer came.
   * @returns {Promise<{ position: string | null, key: string }>}
   */
  async publish(data, { key = this.#wire._key(), retry = 0, meta, end } = {}) {
    let doubt;
    for (;;) {
      try {
        if (doubt) await this.#wire._connected();
        const lost = () => new PublishUnconfirmed(key);
        const { epoch, offset, ephemeral } = await this.#ask("publish", { data, key, meta, end }, lost);
        return { position: ephemeral ? null : `${epoch}:${offset}`, key };
      } catch (/** @type {any} */ error) {
        // Only what is unconfirmed has a key.
        if (!error.key) throw (error.reason === "not_connected" && doubt) || error;
        if (retry-- <= 0) throw error;
        doubt = error;
      }
    }
  }

  /**
   * Ask the application something, and return its reply.
   * @template {keyof Channel["requests"] & string} Name
   * @param {Name} name
   * @param {Channel["requests"][Name]["request"]} [data]
   * @returns {Promise<Channel["requests"][Name]["reply"]>}
   */
  async request(name, data) {
    const reply = await this.#ask("request", { name, data });
    return reply.data;
  }

  /**
   * Return messages of the past, oldest first.
   * @param {{ after?: number, before?: number, limit?: number }} [bounds]
   * @returns {Promise<{
   *   messages: Message<Channel["message"]>[], complete: boolean, epoch: string, offset: number,
   * }>}
   */
  async history(bounds) {
    const reply = await this.#ask("history", bounds);
    return { ...reply, messages: reply.messages.map(this.#read, this) };
  }

  /**
   * Join and return each message as it comes; leave where the loop ends.
   * @returns {AsyncGenerator<Message<Channel["message"]>, void, void>}
   */
  async *[Symbol.asyncIterator]() {
    /** @type {Message<Channel["message"]>[]} */
    const queue = [];
    /** @type {Error | null | undefined} */
    let ending;
    let wake = noop;
    const end = (/** @type {Error | undefined} */ error) => wake((ending = error ?? null));
    const offs = [
      this.on("end", end),
      this.on("message", (message) => {
        wake(queue.push(message));
        if (queue.length > MAX_BACKLOG) end(new Refused({ reason: "slow_consumer" }));
      }),
    ];
    this.join();
    const stay = this.#stay;
    try {
      while (ending === undefined) {
        if (queue.length && stay === this.#stay) yield /** @type {any} */ (queue.shift());
        else await new Promise((resolve) => (wake = resolve));
      }
      if (ending) throw ending;
    } finally {
      for (const off of offs) off();
      this.leave();
    }
  }

  /**
   * Return what to send to come nearer to what is wanted: an entry for a join, or nothing.
   * @internal
   * @param {number} ref
   */
  _step(ref) {
    if (this.#wanted && this.#phase === "left") {
      this.#phase = "joining";
      this.#ref = ref;
      const { replay } = this._options;
      const since = this.#epoch ? `${this.#resume || this.#epoch}:${Math.ceil(this.#last)}` : undefined;
      return { item: this.id, since, replay };
    }
    if (!this.#wanted && this.#phase === "joined") this.#depart();
  }

  /**
   * @internal
   * @param {any} envelope
   */
  _received(envelope) {
    const { type, member, member_count } = envelope;
    if (type === "welcome") return this.#welcome(envelope);
    if (!this.#wanted || this.#phase !== "joined") return; // of a stay that is over
    if (type === "message" || type === "gap") this.#move(envelope);
    else if (type === "ended") this._refused(envelope);
    else if (/joined|left|updated|count/.test(type)) {
      if (type === "left") this.#members.delete(member.connection);
      else if (member) this.#members.set(member.connection, member);
      this.#showMembers(member_count);
    }
  }

  /**
   * Take a refusal: for good, or until a later try.
   * @internal
   * @param {any} envelope
   */
  _refused(envelope) {
    const { ref, retry_after_ms = 0 } = envelope;
    if (ref && (ref !== this.#ref || this.#phase !== "joining")) return;
    const refusal = new Refused(envelope);
    if (refusal.reason === "already_joined") return this.#depart();
    if (/^(never|token)$/.test(refusal.retry)) {
      this.#phase = "left";
      this.#refusal = refusal;
      this._stop(refusal);
      return this.#wire._tell(this, "refused", refusal);
    }
    this.#phase = "later";
    this.#changed();
    this.#wire._timer(`item ${this.id}`, retry_after_ms + this.#wire._jitter(this.#failures++), () => {
      this.#phase = "left";
      this.#wire._touch(this);
    });
  }

  /**
   * Take the new rights after a refresh.
   * @internal
   * @param {string[]} can
   */
  _allowed(can) {
    const gained = can.includes("presence") && !this.rights.includes("presence");
    this.rights = can;
    if (gained) this.#loadMembers();
  }

  /**
   * The connection is gone: what was on it is to be done again.
   * @internal
   */
  _lost() {
    this.#phase = "left";
    this.#changed();
    if (this.#wanted) this.#wire._touch(this);
  }

  /**
   * End what waits for this stay, and let nothing of it be delivered any more.
   * @internal
   * @param {Error} reason
   * @param {boolean} [asked] whether the program has asked for it: then loops just end
   */
  _stop(reason, asked = false) {
    this.#stay++;
    for (const [, reject] of this.#waiting.splice(0)) reject(reason);
    this.#members.clear();
    this.#showMembers(0);
    this.#changed();
    this.#wire._tell(this, "end", asked ? undefined : reason);
  }

  /**
   * Forget all that was known for a user who has signed out.
   * @internal
   */
  _forget() {
    this.#wishes = 0;
    this.position = null;
    this.rights = [];
    this.#changed();
  }

  get #wanted() {
    return this.#wishes > 0 && !this.#refusal;
  }

  /** @param {any} envelope */
  #read(envelope) {
    const { parse = same } = this._options;
    return { ...envelope, data: parse(payload(envelope)) };
  }

  /** @param {any} envelope */
  #welcome({ epoch, offset, was_recovering, recovered, resume, can, members = [], member_count = 0 }) {
    const known = this.#epoch === epoch ? this.#last : -0.5;
    this.#phase = "joined";
    if (!this.#wanted) return this.#wire._touch(this); // of a join that nobody wants any more
    this.#failures = 0;
    if (!recovered) this.#last = Math.max(known, offset - (this._options.replay || 0.5));
    this.#epoch = epoch;
    this.#resume = resume;
    this.position = `${epoch}:${Math.ceil(this.#last)}`;
    this.rights = can;
    this.#changed();
    if (was_recovering && !recovered) {
      this.#wire._tell(this, "gap", { type: "gap", item: this.id, epoch, from: Math.ceil(known) + 1, to: offset });
    }
    for (const [resolve] of this.#waiting.splice(0)) resolve();
    this.#members.clear();
    for (const member of members) this.#members.set(member.connection, member);
    this.#showMembers(member_count);
    if (members.length && members.length < member_count) this.#loadMembers(members.at(-1).connection);
  }

  /**
   * Move the position and hand a message or gap over, unless the stay has ended by then.
   * @param {any} envelope
   */
  #move(envelope) {
    const { type, epoch = this.#epoch, to, offset = to } = envelope;
    if (offset <= this.#last && epoch === this.#epoch) return;
    if (epoch !== this.#epoch) this.#resume = "";
    this.#epoch = epoch;
    if (offset !== undefined) this.#last = offset;
    const value = type === "gap" ? envelope : this.#read(envelope);
    const stay = this.#stay;
    const still = () => {
      if (stay === this.#stay && offset !== undefined) this.position = `${epoch}:${offset}`;
      return stay === this.#stay;
    };
    this.#wire._tell(this, type, value, still);
  }

  /** @param {string} [after] */
  async #loadMembers(after) {
    const stay = this.#stay;
    do {
      const page = await this.#ask("members", { limit: 1000, after }).catch(noop);
      if (!page || stay !== this.#stay) return;
      for (const member of page.members) this.#members.set(member.connection, member);
      after = page.next;
      this.#showMembers(page.count);
    } while (after);
  }

  /**
   * @param {string} type
   * @param {any} [fields]
   * @param {(reason: string) => Error} [lost]
   * @returns {Promise<any>}
   */
  #ask(type, fields, lost) {
    return this.#wire._ask({ type, item: this.id, ...fields }, lost);
  }

  #showMembers(count = this.memberCount) {
    this.#list = null;
    this.#unlisted = count - this.#members.size;
    if (this._handlers.members?.size) this.#wire._tell(this, "members", this.members);
  }

  #depart() {
    this.#phase = "leaving";
    const left = () => {
      if (this.#phase !== "leaving") return;
      this.#phase = "left";
      this.#wire._touch(this);
    };
    this.#ask("leave").catch(noop).then(left);
  }

  #changed() {
    if (this.#told !== this.state) this.#wire._tell(this, "state", (this.#told = this.state));
  }
}

/**
 * A connection to one server that stays open, and its items.
 * @template {{ [item: string]: any }} [Channels=AnyChannels]
 * @extends {Emitter<{
 *   state: State, error: Error, expiring: { expires_at: number }, direct: Message,
 *   direct_lost: unknown, frame: any,
 *   lost: { code: number, reason: string, retry: Retry, retry_after_ms?: number },
 * }>}
 */
export class ItemwireClient extends Emitter {
  /** @type {State} */
  state = "idle";

  /** @type {Map<string, Item<any>>} */
  #items = new Map();
  /** @type {Set<Item<any>>} */
  #touched = new Set();
  /** @type {any} */
  #socket = null;
  #live = false; // whether the server has answered on this socket
  #most = 1; // how many joins it takes in one frame
  #largest = 0; // how many bytes a frame may have
  #failures = 0;
  #refusedTokens = 0;
  #ref = 0;
  /** @type {Map<number, [...Waiter, (reason: string) => Error]>} */
  #pending = new Map();
  #queued = 0;
  /** @type {Map<string, any>} */
  #timers = new Map();
  #heard = 0; // when the last frame came
  #doubted = false; // whether no frame has come since we asked for one
  #wait = 0; // what was last waited for an attempt
  #floor = 0; // the earliest moment of the next attempt that the server allows
  /** @type {number | undefined} */
  #ahead; // how far the server's clock is ahead of ours
  #expires = Infinity; // by our clock
  #refreshing = false;
  /** @type {AbortController | undefined} */
  #asking;
  /** @type {Error | null} */
  #ending = null;
  /** @type {(() => void)[]} */
  #news = [];
  /** @type {() => void} */
  #unlisten = noop;

  #url = "";
  /** @type {Options["token"]} */
  #token;
  #base = 0;
  #cap = 0;
  #timeout = 0;
  #silence = 0;
  #queue = 0;
  /** @type {Options["signals"]} */
  #signals;
  /** @type {Options["batch"]} */
  #batch;
  /** @type {Codec} */
  #codec;
  /** @type {any} */
  #WebSocket;
  /** @type {Clock} */
  #clock;
  /** @type {() => number} */
  #random;

  /** @param {Options} options */
  constructor(options) {
    super();
    ({
      url: this.#url,
      token: this.#token,
      backoff: { base: this.#base = 6000, cap: this.#cap = 30_000 } = {},
      timeout: this.#timeout = 10_000,
      silence: this.#silence = 30_000,
      queue: this.#queue = 0,
      signals: this.#signals = pageSignals,
      batch: this.#batch,
      codec: this.#codec = JSON_CODEC,
      WebSocket: this.#WebSocket = /** @type {any} */ (globalThis).WebSocket,
      clock: this.#clock = REAL_CLOCK,
      random: this.#random = Math.random,
    } = options);
  }

  /** Connect, unless that is under way. */
  connect() {
    if (/nnect/.test(this.state)) return;
    this.#failures = this.#refusedTokens = this.#floor = 0;
    this.#ending = null;
    if (this.#signals) {
      this.#unlisten = this.#signals((signal) => (signal === "sleep" ? this.#sleep() : this.#wake()));
    }
    this.#become("connecting");
    this.#open("connect");
  }

  /** Disconnect: nothing is delivered any more. A later `connect` joins the same items. */
  close() {
    this.#end("closed", new Refused({ reason: "closed" }));
  }

  /** Disconnect, and forget all that was known for this user: items, positions, a fixed token. */
  signOut() {
    this.close();
    for (const item of this.#items.values()) item._forget();
    this.#items.clear();
    this.#touched.clear();
    if (typeof this.#token !== "function") this.#token = null;
  }

  /**
   * Return when there is a connection; connect, if nobody has. Refused where there will be none.
   * @returns {Promise<void>}
   */
  ready() {
    if (this.state === "idle") this.connect();
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#live) resolve();
        else if (this.#ending) reject(this.#ending);
        else this.once("state", look);
      };
      look();
    });
  }

  /**
   * Return the item of this id: the same object each time. It is not joined by that.
   * @template {keyof Channels & string} Id
   * @overload
   * @param {Id} id
   * @param {ItemOptions<Channels[Id]["message"]>} [options]
   * @returns {Item<Channels[Id]>}
   */
  /**
   * Without `Channels`, any id will do, and `Data` is what its messages hold.
   * @template Data
   * @overload
   * @param {Undeclared<Channels>} id
   * @param {ItemOptions<Data>} [options]
   * @returns {Item<{ message: Data, requests: Record<string, AnyRequest> }>}
   */
  /**
   * @param {string} id
   * @param {ItemOptions<any>} [options]
   * @returns {Item<any>}
   */
  item(id, options) {
    const known = this.#items.get(id);
    if (known) {
      const names = /** @type {const} */ (["since", "replay", "parse"]);
      if (options && names.some((name) => options[name] !== known._options[name])) {
        throw Error(`${id} has other options`);
      }
      return known;
    }
    const item = new Item(this, id, { ...options });
    this.#items.set(id, item);
    return item;
  }

  /**
   * Ask the server something, and return its reply.
   * @internal
   * @param {any} frame
   * @param {(reason: string) => Error} [lost] what to raise where no answer comes
   * @returns {Promise<any>}
   */
  async _ask(frame, lost = (reason) => new Refused({ reason })) {
    if (!this.#live) {
      if (this.#queued >= this.#queue) throw new Refused({ reason: "not_connected" });
      this.#queued++;
      await this._connected().finally(() => this.#queued--);
    }
    this.#settle(); // what is asked about an item comes after its join
    const ref = ++this.#ref;
    const bytes = this.#codec.encode({ ...frame, ref });
    if ((bytes.byteLength ?? new TextEncoder().encode(bytes).length) > this.#largest) {
      throw new Refused({ reason: "message_too_big", retry: "never" }); // the server would end everything
    }
    return new Promise((resolve, reject) => {
      this.#pending.set(ref, [resolve, reject, lost]);
      this._timer(`ref ${ref}`, this.#timeout, () => {
        this.#pending.delete(ref);
        reject(lost("timeout"));
      });
      this.#socket?.send(bytes);
    });
  }

  /**
   * Return when there is a connection, within the time of a request.
   * @internal
   * @returns {Promise<void>}
   */
  _connected() {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Refused({ reason: "not_connected" }));
      const timer = this.#clock.setTimeout(late, this.#timeout);
      this.ready().then(resolve, late).finally(() => this.#clock.clearTimeout(timer));
    });
  }

  /**
   * Look at an item once this turn is over: to join, leave and join again is one join.
   * @internal
   * @param {Item<any>} item
   */
  _touch(item) {
    if (this.#items.get(item.id) !== item) throw Error("signed out");
    if (this.state === "idle") this.connect();
    if (!this.#touched.size) queueMicrotask(() => this.#settle());
    this.#touched.add(item);
  }

  /**
   * Tell an event at the end of this turn, when all that belongs to it is done, unless `still`
   * says that it is out of date by then. Messages wait for `batch`, if there is one.
   * @internal
   * @param {Emitter<any>} source
   * @param {string} event
   * @param {any} [value]
   * @param {() => boolean} [still]
   */
  _tell(source, event, value, still = () => true) {
    const handlers = source._handlers[event];
    if (!handlers) return;
    const batch = event === "message" && this.#news.length < MAX_BACKLOG && this.#batch;
    if (!batch || !this.#news.length) {
      (batch || queueMicrotask)(() => {
        for (const tell of this.#news.splice(0)) tell();
      });
    }
    this.#news.push(() => {
      for (const handler of [...handlers]) {
        if (still() && handlers.has(handler)) {
          (async () => handler(value))().catch((error) => this.#report(error, event === "error"));
        }
      }
    });
  }

  /**
   * Set a timer; one of the same name is replaced, and all end with the connection.
   * @internal
   * @param {string} name
   * @param {number} ms
   * @param {() => void} f
   * @param {boolean} [isLast] whether being overdue gives it no more time
   */
  _timer(name, ms, f, isLast) {
    const due = this.#clock.now() + ms;
    this.#cancel(name);
    const fire = () => {
      this.#timers.delete(name);
      const late = this.#clock.now() - due;
      if (late < 0 && ms > LONGEST_TIMER) this._timer(name, -late, f);
      else if (late > OVERDUE && !isLast) this._timer(name, OVERDUE, f, true); // read first what waits
      else f();
    };
    this.#timers.set(name, this.#clock.setTimeout(fire, Math.min(ms, LONGEST_TIMER)));
  }

  /**
   * Return a random time to wait: full jitter, so that clients do not come back together.
   * The first window is wide: of 400 clients that lose one server at once, hardly a 100 ms gets 5 %.
   * @internal
   * @param {number} failures
   * @param {number} [base]
   */
  _jitter(failures, base = this.#base) {
    return this.#random() * Math.min(this.#cap, base * 2 ** failures);
  }

  /** @internal */
  _key() {
    return `${++this.#ref}-${this.#random()}${this.#random()}`;
  }

  /** @param {TokenRequest["reason"]} reason */
  async #open(reason) {
    try {
      this.#dial(await this.#fetchToken(reason, this.#failures));
    } catch (error) {
      this.#report(error);
      this.#again();
    }
  }

  /** @param {Token} token */
  #dial(token) {
    const [path, query] = this.#url.split("?");
    const root = (path[0] === "/" ? location.origin : "") + path.replace(/(\/ws)?\/?$/, "/ws");
    const heartbeat = Math.min(Math.max(this.#silence / 1200, 5), 300) | 0;
    const more = query ? `&${query}` : "";
    const protocols = [this.#codec.protocol];
    if (token) protocols.push(`itemwire.token.${token}`);
    const socket = new this.#WebSocket(
      `${root.replace(/^http/, "ws")}?hints=1&heartbeat=${heartbeat}${more}`,
      protocols,
    );
    const live = (/** @type {(event: any) => void} */ f) => (/** @type {any} */ event) => {
      try {
        if (socket === this.#socket) f(event);
      } catch (error) {
        this.#report(error); // of a frame that is not as it should be: the next one may be
      }
    };
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = live(() => this.#ping()); // older servers say nothing by themselves
    socket.onmessage = live(({ data }) => this.#received(data));
    socket.onclose = live((event) => this.#ended(event));
    socket.onerror = noop; // a close follows; in Node an error that nobody takes ends the program
    this._timer("handshake", this.#timeout, () => this.#again());
  }

  /**
   * Ask for a token: one call at a time, for so long. If the attempt is over before it answers,
   * this never returns.
   * @param {TokenRequest["reason"]} reason
   * @param {number} attempt
   * @returns {Promise<Token>}
   */
  #fetchToken(reason, attempt) {
    const token = this.#token;
    const asking = (this.#asking = new AbortController());
    const { signal } = asking;
    return new Promise((resolve, reject) => {
      const settle = (/** @type {(value: any) => void} */ f) => (/** @type {any} */ value) => {
        if (asking !== this.#asking) return;
        this.#forgetCall();
        f(value);
      };
      const fail = settle((error) => {
        if (new Refused({ ...error }).retry === "never") this.#refuse(error);
        else reject(error);
      });
      this._timer("token", this.#timeout, () => fail(new Refused({ reason: "token_timeout" })));
      new Promise((answer) => {
        answer(typeof token === "function" ? token({ reason, attempt, signal }) : token);
      }).then(settle(resolve), fail);
    });
  }

  #forgetCall() {
    this.#cancel("token");
    this.#asking?.abort();
    this.#asking = undefined;
  }

  /** @param {any} frame */
  #received(frame) {
    this.#heard = this.#clock.now();
    this.#doubted = false;
    const envelope = this.#codec.decode(frame);
    const { type, ref, item } = envelope;
    this._tell(this, "frame", envelope);
    if (type === "closing") return this.#ended(envelope);
    if (!this.#live) this.#proved(envelope);
    if (envelope.expires_at !== undefined) this.#expiry(envelope);
    const [resolve, reject] = this.#pending.get(ref) ?? [];
    if (resolve) {
      this.#pending.delete(ref);
      this.#cancel(`ref ${ref}`);
      if (type === "reply") resolve(envelope);
      else reject?.(new Refused(envelope));
    } else if (type === "error") {
      for (const known of this.#items.values()) {
        if (ref && (item ?? known.id) === known.id) known._refused(envelope);
      }
    } else if (item) this.#items.get(item)?._received(envelope);
    else if (type === "expiring") {
      this._tell(this, type, envelope);
      this.#refresh();
    } else if (/^direct/.test(type)) this._tell(this, type, { ...envelope, data: payload(envelope) });
  }

  /**
   * The server has answered. An open socket proves nothing: a refusal opens it, too.
   * @param {any} envelope
   */
  #proved({ max_items, max_message_bytes }) {
    this.#cancel("handshake");
    this.#live = true;
    this.#failures = this.#refusedTokens = this.#floor = 0;
    this.#largest = max_message_bytes || 65_536;
    this.#most = Math.max(1, Math.min(max_items, this.#largest / ENTRY) | 0);
    this.#watch();
    this.#settle();
    this.#become("connected");
  }

  /** Send the joins and leaves that bring the items to what is wanted. */
  #settle() {
    if (!this.#live) return;
    const items = [...this.#touched];
    this.#touched.clear();
    while (items.length) {
      const ref = ++this.#ref;
      const joins = items.splice(0, this.#most).map((item) => item._step(ref)).filter(same);
      if (!joins.length) continue;
      this.#send({ type: "join", ref, ...(this.#most > 1 ? { items: joins } : joins[0]) });
      this._timer(`ref ${ref}`, 3 * this.#timeout, () => {
        for (const item of this.#items.values()) item._refused({ reason: "timeout", ref });
      });
    }
  }

  #ping() {
    this.#send({ type: "ping" });
  }

  /** Watch whether the server is still there: one timer, however many frames come. */
  #watch() {
    const left = this.#silence - Math.abs(this.#clock.now() - this.#heard);
    if (left > 0) this._timer("silence", left, () => this.#watch());
    else this.#probe();
  }

  /**
   * Ask the server for a sign of life, and give the connection up if none comes.
   * @param {boolean} [isWake] whether somebody waits for it: then connect again without back-off
   */
  #probe(isWake) {
    this.#doubted = true;
    this.#ping();
    this._timer("silence", PROBE, () => {
      if (this.#doubted) this.#again(0, undefined, isWake);
      else this.#watch();
    });
  }

  /** @param {any} envelope */
  #expiry({ expires_at, server_time }) {
    const now = this.#clock.now();
    if (server_time) this.#ahead = server_time * 1000 - now;
    if (this.#ahead === undefined) return; // an older server: wait for its `expiring`
    this.#expires = (expires_at ?? Infinity) * 1000 - this.#ahead; // null: it does not end
    const left = this.#expires - now;
    this._timer(
      "expiry",
      left > 0 ? left - Math.min(REFRESH_LEAD, left / 2) : FIRST_REFRESH,
      () => this.#refresh(),
    );
  }

  async #refresh() {
    const socket = this.#socket;
    if (this.#refreshing || typeof this.#token !== "function") return;
    this.#refreshing = true;
    for (let attempt = 0; attempt === 0 || this.#clock.now() < this.#expires; attempt++) {
      try {
        const token = await this.#fetchToken("refresh", attempt);
        const reply = await this._ask({ type: "refresh", token });
        for (const [id, can] of Object.entries(reply.items ?? {})) this.#items.get(id)?._allowed(can);
        break;
      } catch (error) {
        if (socket !== this.#socket) return;
        this.#report(error);
        await /** @type {Promise<void>} */ (
          new Promise((f) => this._timer("refresh", this._jitter(attempt, FIRST_REFRESH), f))
        );
      }
    }
    this.#refreshing = false; // if in vain: the server closes, and the next connection has a new token
  }

  #wake() {
    const now = this.#clock.now();
    if (this.#timers.has("attempt")) this.#attempt(Math.min(this.#floor - now, this.#wait));
    else if (this.#live) {
      this.#probe(true);
      if (this.#expires - now < REFRESH_LEAD) this.#refresh();
    }
  }

  #sleep() {
    this.#teardown(AWAY);
    this.#attempt(Infinity);
  }

  /**
   * The server has ended the connection: do as it says.
   * @param {any} ending
   */
  #ended({ code, reason: text, retry: said, retry_after_ms: floor }) {
    const [, reason = text, hint = said] = /(.*);retry=(\w+)$/s.exec(text) ?? [];
    // For a server that gives no verdict: its words about credentials begin like this.
    const retry = hint ?? (/^(credentials|token|ticket)_/.test(reason) ? "token" : "later");
    const isToken = retry === "token";
    this._tell(this, "lost", { code, reason, retry, retry_after_ms: floor });
    const detail = isToken && typeof this.#token === "string" && "a fixed token cannot be renewed";
    if (retry === "never" || detail || (isToken && ++this.#refusedTokens > TOKEN_TRIES)) {
      this.#refuse(new Refused({ reason, retry, status: code, detail }));
    } else this.#again(floor, isToken ? "refused" : undefined);
  }

  /**
   * Give this attempt or connection up, and try again after a while: `floor` ms at least.
   * @param {number} [floor]
   * @param {TokenRequest["reason"]} [reason]
   * @param {boolean} [isWake]
   */
  #again(floor = 0, reason, isWake) {
    this.#floor = this.#clock.now() + floor;
    this.#teardown(AWAY);
    this.#attempt(isWake ? 0 : floor + this._jitter(this.#failures++), reason);
  }

  /**
   * @param {number} wait
   * @param {TokenRequest["reason"]} [reason]
   */
  #attempt(wait, reason = "reconnect") {
    this.#wait = wait;
    this._timer("attempt", wait, () => this.#open(reason), true);
    if (this.state === "connected") this.#become("reconnecting");
  }

  /** @param {Error} error */
  #refuse(error) {
    this.#end("refused", error);
    this.#report(error);
  }

  /**
   * @param {State} state
   * @param {Error} error
   */
  #end(state, error) {
    this.#ending = error;
    this.#unlisten();
    this.#unlisten = noop;
    this.#teardown(1000);
    this.#become(state);
    for (const item of this.#items.values()) item._stop(error, state === "closed");
  }

  /**
   * Take down all that belongs to this attempt or connection.
   * @param {number} code
   */
  #teardown(code) {
    const socket = this.#socket;
    this.#socket = null;
    this.#live = this.#refreshing = false;
    this.#forgetCall();
    for (const name of this.#timers.keys()) this.#cancel(name);
    for (const [, reject, lost] of this.#pending.values()) reject(lost("connection_lost"));
    this.#pending.clear();
    for (const item of this.#items.values()) item._lost();
    socket?.close(code);
  }

  /** @param {State} state */
  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this._tell(this, "state", state);
  }

  /** @param {any} envelope */
  #send(envelope) {
    this.#socket?.send(this.#codec.encode(envelope));
  }

  /** @param {string} name */
  #cancel(name) {
    this.#clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  /**
   * @param {any} error
   * @param {boolean} [last] whether a function that is told of errors has failed
   */
  #report(error, last) {
    if (last || !this._handlers.error?.size) console.error(error);
    else this._tell(this, "error", error);
  }
}
