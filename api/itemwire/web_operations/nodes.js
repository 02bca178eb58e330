// The nodes: which there are, and how each of them is.

import { relativeTime } from "../console/times.js";
import { Rows } from "./rows.js";
import { amount } from "./units.js";

/** The table of nodes. */
export class Nodes {
  #ask;
  #inWords;
  #note = document.getElementById("nodes-note");
  #rows = new Rows(document.getElementById("nodes"), "node", [
    { text: ({ node }) => node },
    { text: ({ host, pid }) => `${host} (${pid})` },
    { text: ({ status, reason }) => (reason ? `${status}: ${reason}` : status) },
    { text: ({ version }) => version },
    { text: ({ engine }) => engine },
    { text: ({ connections }) => amount(connections), isNumber: true },
    { text: ({ channels }) => amount(channels), isNumber: true },
    { text: ({ started_at }) => relativeTime(started_at) },
  ]);

  constructor(ask, inWords) {
    [this.#ask, this.#inWords] = [ask, inWords];
  }

  /** Ask, and show the answer. */
  async load() {
    try {
      const { nodes, missing } = await this.#ask("admin/nodes");
      this.#rows.show(nodes);
      this.#note.textContent = missing.length ? `${missing.join(", ")} did not answer` : "";
    } catch (error) {
      this.#note.textContent = this.#inWords(error);
    }
  }

  /** Forget what was shown. */
  clear() {
    this.#rows.show([]);
    this.#note.textContent = "";
  }
}
