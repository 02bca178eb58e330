// An item's server-sent events, beside the socket: read by `fetch`, which can show a refusal.

import { send } from "./asking.js";

/** The stream of one item; it goes on from where it ended when it is opened again. */
export class EventsBeside {
  #item;
  #tell;
  #lastId = "";
  #opened = null;

  /** `tell` gets each event: its `name`, its `data`, and the `raw` text. */
  constructor(item, tell) {
    [this.#item, this.#tell] = [item, tell];
  }

  get isOpen() {
    return this.#opened !== null;
  }

  /** Open the stream, and return when it has ended; throw what the server refused. */
  async open(token) {
    const opened = (this.#opened = new AbortController());
    const headers = { Accept: "text/event-stream" };
    if (this.#lastId) headers["Last-Event-ID"] = this.#lastId;
    const path = `items/${encodeURIComponent(this.#item)}/events`;
    try {
      const response = await send(path, { token, headers, signal: opened.signal });
      for await (const raw of blocks(response.body)) this.#take(raw);
    } catch (error) {
      if (!opened.signal.aborted) throw error;
    } finally {
      if (this.#opened === opened) this.#opened = null;
    }
  }

  /** End the stream. */
  close() {
    this.#opened?.abort();
    this.#opened = null;
  }

  #take(raw) {
    const fields = { event: "message", data: "" };
    for (const line of raw.split("\n")) {
      const at = line.indexOf(":");
      if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).trimStart();
    }
    if (fields.id) this.#lastId = fields.id;
    const data = fields.data ? JSON.parse(fields.data) : null; // a comment keeps the line open
    this.#tell({ name: data ? fields.event : "comment", data, raw });
  }
}

async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    yield* parts;
  }
}
