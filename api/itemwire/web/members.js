// The members of the channel: one line per subject, however many connections it has.

import { oncePerFrame } from "./frames.js";

const MAX_SHOWN = 200; // subjects: a crowd is counted, not listed

/** The list of members, from the welcome on kept up to date by `joined` and `left`. */
export class Members {
  #list;
  #count;
  #note;
  #subjects = new Map(); // connection -> subject
  #own = null;
  #words = "";
  #draw = oncePerFrame(() => this.#drawAll());

  constructor(list, count, note) {
    [this.#list, this.#count, this.#note] = [list, count, note];
  }

  /** Start from the welcome's members; null when the token may not see them. */
  show(members, own) {
    this.#own = own;
    this.#subjects = new Map();
    for (const { connection, subject } of members ?? []) this.#subjects.set(connection, subject);
    this.#words = members === null ? "The token does not have the presence right here." : "";
    this.#draw();
  }

  /** Add a page of members; those who joined or left meanwhile were reported between pages. */
  add(page, count) {
    for (const { connection, subject } of page) this.#subjects.set(connection, subject);
    const unlisted = count - this.#subjects.size;
    this.#words = unlisted > 0 ? `${count} connections; not all of them are listed` : "";
    this.#draw();
  }

  /** Add one connection. */
  joined({ connection, subject }) {
    this.#subjects.set(connection, subject);
    this.#draw();
  }

  /** Remove one connection. */
  left({ connection }) {
    this.#subjects.delete(connection);
    this.#draw();
  }

  /** Forget all members: without a connection, nothing is known about them. */
  clear() {
    this.show([], null);
    this.#words = "Shown while connected.";
  }

  #drawAll() {
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
  line.appendChild(document.createElement("bdi")).textContent = subject;
  if (own) line.append(" ", note("tag", "you"));
  if (count > 1) line.append(" ", note("note", `${count} connections`));
  return line;
}

function note(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}
