// The channels of all nodes, the most used first.

import { Rows } from "./rows.js";
import { amount, counted } from "./units.js";

const TYPED = 300; // milliseconds after the last letter

/** The table of channels; `look` is called with the item that is chosen. */
export class Channels {
  #ask;
  #inWords;
  #rows;
  #timer = 0;
  #asked = 0; // a number for each question: an answer that is overtaken is dropped
  #note = document.getElementById("channels-note");
  #pattern = document.getElementById("pattern");
  #order = document.getElementById("order");

  constructor(ask, inWords, look) {
    [this.#ask, this.#inWords] = [ask, inWords];
    this.#rows = new Rows(document.getElementById("channels"), "item", [
      { text: ({ item }) => item, act: ({ item }) => look(item), isLong: true },
      { text: ({ listeners }) => amount(listeners), isNumber: true },
      { text: ({ nodes }) => amount(nodes), isNumber: true },
      { text: ({ members }) => amount(members), isNumber: true },
      { text: ({ messages_per_second }) => amount(messages_per_second), isNumber: true },
      { text: ({ offset }) => offset, isNumber: true },
    ]);
    document.getElementById("channels-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.load();
    });
    this.#pattern.addEventListener("input", () => this.#soon());
    this.#order.addEventListener("change", () => this.load());
  }

  /** Ask, and show the answer. */
  async load() {
    const number = ++this.#asked;
    const query = new URLSearchParams({ order: this.#order.value });
    if (this.#pattern.value) query.set("pattern", this.#pattern.value.trim());
    try {
      const { channels, missing, next } = await this.#ask(`admin/channels?${query}`);
      if (number !== this.#asked) return;
      this.#rows.show(channels);
      const of = next ? "the first " : "";
      const without = missing.length ? `; no answer from ${counted(missing.length, "node")}` : "";
      this.#note.textContent = `${of}${channels.length}${without}`;
    } catch (error) {
      if (number !== this.#asked) return;
      this.#note.textContent = this.#inWords(error);
    }
  }

  /** Forget what was shown. */
  clear() {
    this.#asked += 1;
    clearTimeout(this.#timer);
    this.#rows.show([]);
    this.#note.textContent = "";
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.load(), TYPED);
  }
}
