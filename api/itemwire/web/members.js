// The members of an item: one line per subject, however many connections it has.

import { isolated, part } from "./dom.js";
import { oncePerFrame } from "./frames.js";

const MAX_SHOWN = 200; // subjects: a crowd is counted, not listed

/** The list of members. */
export class Members {
  /** How many connections there are in all: the server does not list those of a crowd. */
  total = 0;

  #list;
  #count;
  #note;
  #subjects = new Map(); // connection -> subject
  #own = null;
  #words = "Shown while connected.";
  #isShown = false;
  #draw = oncePerFrame(() => this.#drawAll());

  constructor(list, count, note) {
    [this.#list, this.#count, this.#note] = [list, count, note];
  }

  /** Show these members; null when the token may not see them. */
  show(members, own) {
    this.#own = own;
    this.#subjects = new Map();
    for (const { connection, subject } of members ?? []) this.#subjects.set(connection, subject);
    const unlisted = this.total > this.#subjects.size;
    this.#words = unlisted ? `${this.total} connections; not all of them are listed` : "";
    if (members === null) this.#words = "The token does not have the presence right here.";
    this.#draw();
  }

  /** Take the place on the page, or leave it to those of another item. */
  place(isShown) {
    this.#isShown = isShown;
    this.#draw();
  }

  /** Forget all members: without a connection, nothing is known about them. */
  clear() {
    this.total = 0;
    this.show([], null);
    this.#words = "Shown while connected.";
  }

  #drawAll() {
    if (!this.#isShown) return;
    const counts = new Map();
    for (const name of this.#subjects.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
    const own = this.#subjects.get(this.#own);
    const sorted = [...counts].sort(([a], [b]) => (b === own) - (a === own) || (a < b ? -1 : 1));
    const shown = sorted.slice(0, MAX_SHOWN);
    const lines = shown.map(([name, count]) => drawSubject(name, count, name === own));
    const rest = sorted.length - shown.length;
    this.#list.replaceChildren(...lines);
    this.#count.textContent = sorted.length || "";
    this.#note.textContent = rest > 0 ? `and ${rest} more` : this.#words;
  }
}

function drawSubject(subject, count, own) {
  const line = document.createElement("li");
  Object.assign(line.dataset, { subject, connections: count, own });
  line.append(isolated(subject));
  if (own) line.append(" ", part("span", "tag", "you"));
  if (count > 1) line.append(" ", part("span", "note", `${count} connections`));
  return line;
}
