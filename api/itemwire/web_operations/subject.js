// The connections of a subject: see them, end one, revoke the tokens.

import { Rows } from "./rows.js";
import { confirmed } from "./confirming.js";
import { amount, counted, duration } from "./units.js";

const element = (id) => document.getElementById(id);
const MOST_ITEMS = 5; // named in a cell

/** The panel of a subject. */
export class Subject {
  #ask;
  #inWords;
  #now; // by the clock of the server
  #subject = "";
  #rows = new Rows(element("connections"), "id", [
    { text: ({ address }) => address ?? "–" },
    { text: ({ node }) => node },
    { text: ({ age }) => duration(age), isNumber: true },
    { text: itemsOf, isLong: true },
    { text: ({ codec }) => codec },
    { text: ({ outbox_bytes }) => amount(outbox_bytes, "bytes"), isNumber: true },
    { text: ({ lag }) => amount(lag), isNumber: true },
    { text: () => "End", act: (connection) => this.#end(connection), label: "End" },
  ]);

  constructor(ask, inWords, now) {
    [this.#ask, this.#inWords, this.#now] = [ask, inWords, now];
    element("subject-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.load(element("subject").value);
    });
    element("revoke").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#revoke();
    });
  }

  /** List the connections of a subject. */
  load(subject, said = "") {
    this.#subject = subject;
    return this.#doing(async () => {
      const query = new URLSearchParams({ subject, limit: "100" });
      const { connections, next, missing } = await this.#ask(`admin/connections?${query}`);
      this.#rows.show(connections);
      element("subject-found").hidden = false;
      const count = next ? "the first 100 connections" : counted(connections.length, "connection");
      const without = missing.length ? `; no answer from ${counted(missing.length, "node")}` : "";
      return `${said}${said && " "}${subject}: ${count}${without}`;
    });
  }

  /** Forget what was shown. */
  clear() {
    this.#rows.show([]);
    element("subject-found").hidden = true;
    element("subject-said").textContent = "";
  }

  async #end({ id }) {
    await this.#doing(async () => {
      await this.#ask(`admin/connections/${encodeURIComponent(id)}`, { method: "DELETE" });
      return "";
    }, `Ended ${id}.`);
  }

  async #revoke() {
    const how = element("revoke-how");
    const subject = this.#subject;
    const what = how.selectedOptions[0].textContent;
    if (!(await confirmed(`Revoke of ${subject}: ${what}? The sockets end at once.`, "Revoke"))) return;
    const now = this.#now();
    const body = { subject, reason: element("reason").value };
    if (how.value === "issued") body.issued_before = now;
    else body.until = now + Number(how.value);
    await this.#doing(async () => {
      await this.#ask("admin/revocations", { method: "POST", body });
      return "";
    }, `Revoked: ${what}.`);
  }

  /** Do it and say what came of it; after a change, list again. */
  async #doing(act, changed = "") {
    try {
      element("subject-said").textContent = await act();
      if (changed) await this.load(this.#subject, changed);
    } catch (error) {
      element("subject-said").textContent = this.#inWords(error);
    }
  }
}

function itemsOf({ items, item_count }) {
  const named = items.slice(0, MOST_ITEMS).join(", ");
  return item_count > MOST_ITEMS ? `${named} and ${item_count - MOST_ITEMS} more` : named;
}
