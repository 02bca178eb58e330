// The JavaScript clients of a run: one process, told by lines on its input, telling by lines.

import { createHmac, randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";

import { ItemwireClient, PublishUnconfirmed } from "../../clients/js/itemwire.js";

const WebSocket = createRequire(new URL("../../clients/js/package.json", import.meta.url))("ws");
const plan = JSON.parse(process.argv[2]);
const tell = (told) => process.stdout.write(`${JSON.stringify(told)}\n`);

const BEAT = 200; // milliseconds
let isQuiet = false;
const quiet = new AbortController();
setMaxListeners(0, quiet.signal);
const attempts = []; // when a client meant to connect, and when it began to, in seconds
let stall = 0; // the longest time that this process, and every client in it, stood still
const errors = {};
const count = (error) => (errors[error] = (errors[error] ?? 0) + 1);

function mint(subject) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: subject, scope: plan.scope, iat: now, exp: now + plan.token_seconds, jti: randomUUID() };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", plan.secret).update(signed).digest("base64url")}`;
}

/** A client's clock, which notes for when the timer was set that has run last. */
class NotingClock {
  now = Date.now;
  clearTimeout = clearTimeout;

  setTimeout = (run, ms) => {
    const due = Date.now() + ms;
    return setTimeout(() => {
      this.due = due / 1000;
      run();
    }, ms);
  };
}

class Watcher {
  log = []; // [epoch, offset, text] of a message, [epoch, from, to] of a gap
  acknowledged = []; // [position, text]
  unconfirmed = 0;
  start = null;

  constructor({ name, item }) {
    const backoff = plan.window ? { base: 1000 * plan.window } : undefined;
    this.name = name;
    const clock = new NotingClock();
    const token = ({ reason }) => {
      const now = Date.now() / 1000;
      if (reason !== "refresh") attempts.push([clock.due ?? now, now]);
      return mint(name);
    };
    this.wire = new ItemwireClient({ url: plan.url, WebSocket, token, backoff, clock });
    this.wire.on("error", (error) => count(`js: ${error.message}`));
    this.wire.on("lost", ({ code, reason }) => count(`js: ${code} ${reason}`));
    this.item = this.wire.item(item);
    this.item.on("message", ({ offset, data }) => this.log.push([this.epoch, offset, data]));
    this.item.on("gap", ({ epoch, from, to }) => this.log.push([epoch, from, to]));
  }

  get epoch() {
    return this.item.position.split(":")[0];
  }

  async run() {
    await this.item.join();
    this.start = this.item.position;
    for (let number = 0; !isQuiet; number++) {
      await wait(Math.random() * 2000 * plan.pace, null, { signal: quiet.signal }).catch(() => {});
      if (!isQuiet) await this.publish(`${this.name} ${number}`);
    }
  }

  /** Publish until it is acknowledged: again with the same key where it is not known. */
  async publish(text) {
    const key = randomUUID();
    for (;;) {
      try {
        const { position } = await this.item.publish(text, { key });
        return this.acknowledged.push([position, text]);
      } catch (error) {
        this.unconfirmed += error instanceof PublishUnconfirmed;
        await wait(200);
      }
    }
  }
}

const watchers = plan.clients.map((client) => new Watcher(client));
const running = watchers.map((watcher) => watcher.run());
let beaten = Date.now();
const beat = setInterval(() => {
  stall = Math.max(stall, (Date.now() - beaten) / 1000 - BEAT / 1000);
  beaten = Date.now();
  const away = watchers.filter(({ item }) => item.state !== "joined").map(({ name, wire }) => `${name} ${wire.state}`);
  tell({ away, errors });
}, BEAT);

const orders = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
await orders.next(); // stop publishing
isQuiet = true;
quiet.abort();
await Promise.all(running);
tell({ acknowledged: watchers.flatMap(({ item, acknowledged }) => acknowledged.map((one) => [item.id, ...one])) });
const ends = JSON.parse((await orders.next()).value); // where each item ends
const isDone = () => watchers.every(({ item }) => (ends[item.id] ?? item.position) === item.position);
for (const until = Date.now() + 1000 * plan.patience; !isDone() && Date.now() < until; ) await wait(50);
clearInterval(beat);
const logs = watchers.map(({ name, item, start, log, unconfirmed }) => ({ name, item: item.id, start, log, unconfirmed }));
tell({ logs, attempts, errors, stall });
for (const { wire } of watchers) wire.close();
process.stdin.destroy();
