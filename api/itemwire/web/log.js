// The message log: bounded, drawn once per frame, and safe with hostile text (textContent only).

import { isolated, part } from "./dom.js";
import { oncePerFrame } from "./frames.js";
import { describePayload } from "./payloads.js";
import { clockTime } from "./times.js";

const MAX_ENTRIES = 500;
const NEAR_THE_END = 40; // pixels: a reader this close to the newest entry is following

/** The entries of one item; follows the newest one while the reader is at the end. */
export class Log {
  #place;
  #list = document.createElement("ol");
  #waiting = [];
  #draw = oncePerFrame(() => this.#drawWaiting());

  constructor(place) {
    this.#place = place;
    this.#list.hidden = true;
    place.prepend(this.#list);
  }

  /** Show these entries, or leave the place to those of another item. */
  show(isShown) {
    this.#list.hidden = !isShown;
    if (isShown) this.#place.scrollTop = this.#place.scrollHeight;
  }

  /** Take the list off the page. */
  remove() {
    this.#list.remove();
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
    if (following && !this.#list.hidden) this.#place.scrollTop = this.#place.scrollHeight;
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
  from.append(isolated(by || "(application)", "sender"), ...(own ? [" ", part("span", "tag", "you")] : []));
  const body = isolated(payload.text, "body");
  const unnumbered = ephemeral ? "ephemeral" : "to you alone";
  const place = offset === undefined ? unnumbered : `#${offset}`;
  const notes = [payload.label, replayed ? "replayed" : "", place].filter(Boolean);
  return [from, body, part("span", "offset", notes.join(" · "))];
}

function drawEvent({ about, text }) {
  const body = part("span", "body");
  body.append(...(about === undefined ? [] : [isolated(about, "sender")]), text);
  return [body];
}
