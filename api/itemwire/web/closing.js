// Close codes and reasons in plain words: what happened, what to do, whether to try again.

import { part } from "./dom.js";

/** The registry of reasons as a user needs it: retry verdict, what happened, what to do. */
export const REASONS = {
  credentials_missing: ["token", "The server needs a credential and found none.",
    "Paste a token, or sign in to the application, which gives this browser a session cookie."],
  credentials_invalid: ["token", "The server does not accept this credential. It does not tell "
    + "callers why: the token may be damaged, expired, not valid yet, signed with another key or "
    + "meant for another service.",
    "“itemwire token inspect” and the server’s log say which check fails."],
  token_expired: ["token", "The token expired while the connection was open.",
    "Connect with a fresh token."],
  token_revoked: ["token", "The token was revoked.",
    "Ask for a new token, if you should still have access."],
  ticket_invalid: ["token", "The one-time ticket is unknown, used or too old.",
    "Ask for a new ticket."],
  origin_denied: ["never", "A web page that the server does not trust presented a session cookie.",
    "Use a token, or have this page’s origin added to ITEMWIRE_ALLOWED_ORIGINS."],
  forbidden: ["never", "You are signed in, but have no access to this item.",
    "Check the Item ID, or ask for rights on this item."],
  scope_missing: ["never", "The token lacks the right for this.",
    "Ask for a token with that right: subscribe to listen, publish to send, history to replay."],
  item_invalid: ["never", "This is not a valid Item ID.",
    "Use 1 to 128 characters out of A-Z a-z 0-9 . _ ~ : - (and not “.” or “..”)."],
  query_invalid: ["never", "A value in the connection’s URL is not valid.",
    "Check the number of messages to replay."],
  tls_required: ["never", "This server accepts encrypted connections only.",
    "Open the page with https."],
  rate_limited: ["later", "Too much was sent, or too many connections were tried, in a short time.",
    "Slow down."],
  connection_limit: ["later", "There are already as many connections as the server allows.",
    "Close other tabs or programs that use the same identity."],
  slow_consumer: ["now", "Messages came faster than this page read them, and the queue was full.",
    "Connect again; replay can bring back the missed messages."],
  messages_lost: ["now", "The server lost messages for this page, and cannot tell which.",
    "Connect again; replay can bring back the missed messages."],
  message_timeout: ["now", "A message did not arrive completely: the network is very slow.",
    "Connect again, perhaps over another network."],
  ping_timeout: ["now", "This page did not answer the server’s pings in time.", "Connect again."],
  message_too_big: ["never", "A message was larger than the server accepts.",
    "Send it in smaller parts."],
  payload_invalid: ["never", "The server could not read what was sent.",
    "Send text, or valid JSON."],
  internal: ["later", "Something failed inside the server.", "The server’s log has the details."],
  store_refused: ["never", "The server cannot store this until its operator acts.",
    "The server’s log and /health/ready say what is wrong with the store."],
  draining: ["now", "The server is restarting and moves its connections away.", "Connect again."],
  overloaded: ["later", "The server is overloaded at the moment.", "Wait a little."],
};

/** What a code means when no known reason came with it. */
export const CODES = {
  1000: ["now", "The connection ended normally.", ""],
  1001: ["now", "The server is going away.", "Connect again when it is back."],
  1002: ["never", "One side did not follow the WebSocket protocol.",
    "Look for a proxy in between that alters frames."],
  1003: REASONS.payload_invalid,
  1005: ["now", "The server closed without a code.", ""],
  1006: ["later", "The connection broke or could not be opened, and there is no reason.",
    "Check that the server runs, and that a proxy in between lets WebSockets through. A server that "
    + "refuses with HTTP (ITEMWIRE_REFUSAL=http) also looks like this: browsers hide its answer, "
    + "but the server’s log has it."],
  1007: REASONS.payload_invalid,
  1008: ["never", "The server’s policy does not allow this.", "The server’s log says which rule."],
  1009: REASONS.message_too_big,
  1011: REASONS.internal,
  1012: REASONS.draining,
  1013: REASONS.overloaded,
};

const UNKNOWN = ["never", "The server closed with a code that this page does not know.",
  "The server’s documentation or log explains it."];
const LEFT = ["now", "You disconnected.", ""];

const VERDICTS = {
  never: "Trying again unchanged will not help.",
  token: "Try again with a new credential.",
  later: "Try again later.",
  now: "You can connect again right away.",
};

/** Describe how a connection ended; the server's own `closing` notice wins over the table. */
export function explain({ code, reason, own, notice }) {
  const known = Object.hasOwn(REASONS, reason) ? REASONS[reason] : (CODES[code] ?? UNKNOWN);
  const asked = Boolean(own) && reason === ""; // with a reason, the server closed before we did
  const [tableRetry, happened, advice] = asked ? LEFT : known;
  const retry = Object.hasOwn(VERDICTS, notice?.retry) ? notice.retry : tableRetry;
  const seconds = Math.ceil((notice?.retry_after_ms ?? 0) / 1000);
  const verdict = seconds > 0 ? `Try again in ${seconds} s.` : VERDICTS[retry];
  const name = [code, reason].filter(Boolean).join(" "); // an item of many is refused without a code
  return { name, own: asked, retry, happened, advice, verdict };
}

/** The panel that says how the connection ended; empty and hidden until it has ended. */
export class CloseView {
  #panel;
  #shown = null;
  #words = null;

  constructor(panel) {
    this.#panel = panel;
  }

  /** Show how the connection ended, and return the words used. */
  show(ending) {
    if (ending === this.#shown) return this.#words; // told once: it is read out each time
    const words = explain(ending);
    [this.#shown, this.#words] = [ending, words];
    const { dataset } = this.#panel;
    dataset.code = ending.code ?? "";
    dataset.reason = ending.reason;
    dataset.retry = words.retry;
    dataset.own = words.own;
    this.#panel.replaceChildren(
      part("p", "name", words.name),
      part("p", "happened", words.happened),
      part("p", "advice", words.advice),
      part("p", "verdict", words.verdict),
    );
    this.#panel.hidden = false;
    this.#panel.scrollIntoView({ block: "nearest" });
    return words;
  }

  /** Forget the last ending. */
  clear() {
    this.#shown = null;
    this.#panel.hidden = true;
    this.#panel.replaceChildren();
    for (const name of ["code", "reason", "retry", "own"]) delete this.#panel.dataset[name];
  }
}
