// The socket that brings the figures of all nodes, each second; it comes back by itself.

import { explain } from "../console/closing.js";

const CODEC = "itemwire.v1.json";
const TOKEN = /^[\w.~+/=-]+$/; // what a subprotocol may be made of, and any JWT is
const FIRST_WAIT = 1000; // milliseconds
const LONGEST_WAIT = 30_000;

/** The feed; `tell` gets `hour` and `sample`, and how it stands. */
export class Feed {
  #tell;
  #socket = null;
  #failures = 0;
  #timer = 0;

  constructor(tell) {
    this.#tell = tell;
  }

  /** Watch with this token, or by the session cookie. */
  open(token) {
    this.close();
    const address = new URL("admin/ops/ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    if (token && !TOKEN.test(token)) return this.#tell.refused({ reason: "credentials_invalid" });
    const socket = new WebSocket(address, token ? [CODEC, `itemwire.token.${token}`] : [CODEC]);
    this.#socket = socket;
    this.#tell.connecting();
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.#failures = 0;
      const envelope = JSON.parse(data);
      this.#tell[envelope.type]?.(envelope);
    };
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#closed(token, code, reason);
  }

  /** Watch no longer. */
  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#failures = 0;
    socket?.close();
  }

  #closed(token, code, reason) {
    this.#socket = null;
    const ending = { code, reason };
    const { retry, name } = explain(ending);
    if (retry === "never" || retry === "token") return this.#tell.refused(ending);
    const wait = Math.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures);
    const failures = this.#failures + 1;
    this.#tell.lost(name);
    this.#timer = setTimeout(() => {
      this.open(token);
      this.#failures = failures;
    }, wait);
  }
}
