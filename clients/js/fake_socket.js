// The client's end of a connection to a server in memory.

/** @import { FakeServer, Envelope } from "./testing.js" */

export const OPEN = 1;
export const CLOSED = 3;

/** The client's end of a connection. */
export class FakeSocket {
  readyState = 0;
  binaryType = "blob";
  /** @type {((event: any) => void) | null} */
  onopen = null;
  /** @type {((event: any) => void) | null} */
  onmessage = null;
  /** @type {((event: any) => void) | null} */
  onclose = null;
  /** @type {((event: any) => void) | null} */
  onerror = null;

  /** Every envelope that the client has sent here. @type {Envelope[]} */
  frames = [];
  /** The items that are joined here. @type {Set<string>} */
  items = new Set();
  /** With which code the client has closed, once it has. @type {number | undefined} */
  closedWith;
  /** Whether it looks open and carries nothing. */
  isHalfOpen = false;

  #server;
  /** @type {(() => void)[]} */
  #inbox = [];

  /**
   * @param {FakeServer} server
   * @param {string} url
   * @param {string[]} protocols
   */
  constructor(server, url, protocols) {
    this.#server = server;
    this.url = url;
    this.protocols = protocols;
    this.protocol = protocols[0];
    /** When the client began to connect. */
    this.startedAt = server.clock.now();
    const offered = protocols.find((name) => name.startsWith("itemwire.token."));
    /** What the client has presented. */
    this.token = offered?.slice("itemwire.token.".length) ?? new URL(url).searchParams.get("token");
  }

  /** @param {string} frame */
  send(frame) {
    if (this.readyState !== OPEN) throw new Error("the socket is not open");
    const envelope = JSON.parse(frame);
    this.frames.push(envelope);
    if (!this.isHalfOpen) Promise.resolve().then(() => this.#server._received(this, envelope));
  }

  /** @param {number} [code] */
  close(code = 1005) {
    if (code !== 1000 && (code < 3000 || code > 4999)) throw new Error(`a page may not close with ${code}`);
    this.closedWith ??= code;
    this.readyState = CLOSED;
    this.#server._gone(this);
  }

  /**
   * Give the client an event, in order, unless the server holds everything back.
   * @param {() => void} event
   */
  _event(event) {
    this.#inbox.push(event);
    Promise.resolve().then(() => this._read());
  }

  /** Let the client have what waits for it. */
  _read() {
    while (this.#inbox.length && !this.#server.isHeld && !this.isHalfOpen) this.#inbox.shift()?.();
  }
}
