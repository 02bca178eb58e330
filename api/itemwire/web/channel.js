// One connection to one item's channel: opens it, exchanges envelopes, and reports how it ended.

const SUBPROTOCOL = "itemwire.v1.json";
const NORMAL_CLOSURE = 1000; // RFC 6455 section 7.4.1

/** Return the channel's URL, derived from the page's: a path prefix and TLS carry over. */
export function channelUrl({ item, token, replay }) {
  const url = new URL(`items/${encodeURIComponent(item)}/ws`, document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  if (token) url.searchParams.set("token", token); // a `token=` without a value would be refused
  if (replay) url.searchParams.set("replay", replay);
  return url;
}

/** A socket for envelopes: calls `onEnvelope` for each one, and `onClosed` exactly once. */
export class Channel {
  /** Our subject, once the server has welcomed us. */
  subject = null;

  #socket;
  #onEnvelope;
  #notice = null;
  #leaving = false;
  #published = 0;

  constructor(address, { onEnvelope, onClosed }) {
    this.#onEnvelope = onEnvelope;
    this.#socket = new WebSocket(channelUrl(address), SUBPROTOCOL);
    this.#socket.addEventListener("message", ({ data }) => this.#received(data));
    this.#socket.addEventListener("close", ({ code, reason }) => {
      onClosed({ code, reason, own: this.#leaving, notice: this.#notice });
    });
  }

  /** Publish a value, given as JSON text so that no number loses digits. */
  publish(json) {
    this.#published += 1;
    this.#socket.send(`{"type":"publish","ref":"${this.#published}","data":${json}}`);
  }

  /** Ask for the members after the one with this connection id; they come in a reply. */
  askMembers(after) {
    this.#socket.send(JSON.stringify({ type: "members", after, limit: 1000 }));
  }

  /** Close the connection because the user asked. */
  leave() {
    this.#leaving = true;
    this.#socket.close(NORMAL_CLOSURE);
  }

  #received(frame) {
    const envelope = parseEnvelope(frame);
    if (envelope.type === "welcome") this.subject = envelope.subject;
    if (envelope.type === "closing") this.#notice = envelope;
    this.#onEnvelope(envelope);
  }
}

function parseEnvelope(frame) {
  try {
    return JSON.parse(frame, exactNumber);
  } catch {
    return { type: "error", code: "unreadable", detail: "a frame that is not an envelope" };
  }
}

/** Keep the digits of numbers that JavaScript would round, if the browser supports it. */
function exactNumber(key, value, context) {
  const rounded = typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER;
  return rounded && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
}
