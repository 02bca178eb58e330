// The connection of the console: the client, the credential that it presents, and breaks at will.

import { ItemwireClient, Refused } from "../itemwire.js";
import { ask } from "./asking.js";
import { EXACT_JSON } from "./codec.js";
import { tappedSocket } from "./tapped_socket.js";

/** One connection to this server, with what the form says at each handshake. */
export class Connection {
  wire;
  #token;
  #via;
  #tell;
  #presented = "";
  #ticket = null;
  #signal = null; // tells the client that the line went, or is back
  #isBroken = false;

  /** `token` returns what stands in the form now; `tell` gets each frame. */
  constructor({ token, via, tell }) {
    [this.#token, this.#via, this.#tell] = [token, via, tell];
    this.wire = new ItemwireClient({
      url: new URL(".", document.baseURI).href, // a path prefix and TLS carry over
      token: (request) => this.#credential(request),
      codec: EXACT_JSON,
      signals: (signal) => this.#listen(signal),
      WebSocket: tappedSocket(tell, () => this.#takeTicket()),
    });
  }

  /** Whether another token stands in the form than the one that was presented. */
  get hasNewToken() {
    return this.#token() !== this.#presented;
  }

  /** Present the token of the form on the open connection; return the new rights by item. */
  async refresh() {
    const token = this.#token();
    const reply = await this.wire._ask({ type: "refresh", token });
    this.#presented = token;
    return reply;
  }

  /** Break the line, as a tunnel does, or bring it back. */
  setBroken(isBroken) {
    this.#isBroken = isBroken;
    this.#signal(isBroken ? "sleep" : "wake");
  }

  async #credential({ reason }) {
    // The client asks on its own when the token nears its end: only the user has a new one.
    if (reason === "refresh" && !this.hasNewToken) throw new Refused({ reason: "no_new_token" });
    this.#presented = this.#token();
    if (reason === "refresh" || this.#via !== "ticket") return this.#presented || null;
    this.#ticket = await this.#makeTicket();
    return null; // it is in the URL
  }

  async #makeTicket() {
    const made = await ask("auth/tickets", { token: this.#presented, method: "POST" });
    const seconds = Math.round(made.expires_at - Date.now() / 1000);
    this.#tell("http", `POST auth/tickets → 200, a ticket for ${seconds} s that works once`);
    return made.ticket;
  }

  #takeTicket() {
    const ticket = this.#ticket;
    this.#ticket = null;
    return ticket;
  }

  /** Sleep and wake with the page, as the client does by itself, but not while the user broke it. */
  #listen(signal) {
    this.#signal = signal;
    const listening = new AbortController();
    const on = (target, event, word) => {
      target.addEventListener(event, () => this.#isBroken || signal(word), listening);
    };
    on(window, "pagehide", "sleep");
    on(window, "pageshow", "wake");
    on(window, "online", "wake");
    on(document, "resume", "wake");
    on(document, "visibilitychange", "wake"); // hidden or not: it asks whether the server is there
    return () => listening.abort();
  }
}
