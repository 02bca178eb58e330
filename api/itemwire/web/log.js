// The message log: bounded, drawn once per frame, and safe with hostile text (textContent only).

import { oncePerFrame } from "./frames.js";
import { describePayload } from "./payloads.js";
import { clockTime } from "./times.js";

const MAX_ENTRIES = 500;
const NEAR_THE_END = 40; // pixels: a reader this close to the newest entry is following

/** A list of entries; follows the newest one while the reader is at the end. */
export class Log {
  #place;
  #list;
  #waiting = [];
  #draw = oncePerFrame(() => this.#drawWaiting());

  constructor(place) {
    this.#place = place;
    this.#list = place.querySelector("ol");
  }

  /** Add an entry: a `kind`, and `text` (`about` a subject) or `data` (`sender`, `offset`). */
  add(entry) {
    this.#waiting.push({ at: Date.now() / 1000, ...entry });
    if (this.#waiting.length > MAX_ENTRIES) this.#waiting.shift(); // a hidden tab draws nothing
    this.#draw();
  }

  /** Forget all entries. */
  clear() {
    this.#waiting = [];
    this.#list.replaceChildren();
  }

  #drawWaiting() {
    const { scrollHeight, scrollTop, clientHeight } = this.#place;
    const following = scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
    const entries = this.#waiting;
    this.#waiting = [];
    this.#list.append(...entries.map(drawEntry));
    while (this.#list.childElementCount > MAX_ENTRIES) this.#list.firstElementChild.remove();
    if (following) this.#place.scrollTop = this.#place.scrollHeight;
  }
}

function drawEntry(entry) {
  const line = document.createElement("li");
  line.dataset.kind = entry.kind;
  line.append(part("time", "time", clockTime(entry.at)));
  line.append(...(entry.kind === "message" ? drawMessage(line, entry) : drawEvent(entry)));
  return line;
}

function drawMessage(line, { sender, own, offset, ephemeral, replayed, data, encoding }) {
  const payload = describePayload(data, encoding);
  const by = sender ?? ""; // what the application's own code publishes has none
  Object.assign(line.dataset, { sender: by, offset: offset ?? "", payload: payload.kind, own, replayed });
  const from = part("span", "from");
  from.append(part("bdi", "sender", by || "(application)"), ...(own ? [" ", part("span", "tag", "you")] : []));
  const body = part("bdi", "body", payload.text);
  const unnumbered = ephemeral ? "ephemeral" : "to you alone";
  const place = offset === undefined ? unnumbered : `#${offset}`;
  const notes = [payload.label, replayed ? "replayed" : "", place].filter(Boolean);
  return [from, body, part("span", "offset", notes.join(" · "))];
}

function drawEvent({ about, text }) {
  const body = part("span", "body");
  body.append(...(about === undefined ? [] : [part("bdi", "sender", about)]), text);
  return [body];
}

function part(tag, name, text = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}
