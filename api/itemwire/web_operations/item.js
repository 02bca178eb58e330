// One item: what is known of it, its history and members; publish into it, empty its history.

import { isolated, part } from "../console/dom.js";
import { describePayload } from "../console/payloads.js";
import { clockTime, fullTime } from "../console/times.js";
import { confirmed } from "./confirming.js";
import { amount, counted, duration } from "./units.js";

const element = (id) => document.getElementById(id);
const SHOWN = 100; // messages, and members

/** The panel of an item. */
export class ItemPanel {
  #ask;
  #inWords;
  #item = "";

  constructor(ask, inWords) {
    [this.#ask, this.#inWords] = [ask, inWords];
    const on = (id, event, act) => element(id).addEventListener(event, (happened) => {
      happened.preventDefault();
      act();
    });
    on("item-form", "submit", () => this.load(element("item").value.trim()));
    on("publish", "submit", () => this.#publish());
    on("erase", "click", () => this.#erase());
  }

  /** Show an item. */
  async load(item, said = "") {
    this.#item = item;
    element("item").value = item;
    const name = encodeURIComponent(item);
    try {
      const facts = await this.#ask(`admin/channels/${name}`);
      element("item-facts").replaceChildren(...factsOf(facts));
      element("item-found").hidden = false;
      element("item-said").textContent = said;
    } catch (error) {
      element("item-said").textContent = this.#inWords(error);
      return;
    }
    // These need the rights on the item, which a token for administration may lack.
    const messages = this.#list("history", `items/${name}/messages?limit=${SHOWN}`, messagesOf);
    await Promise.all([messages, this.#list("members", `items/${name}/members?limit=${SHOWN}`, membersOf)]);
  }

  /** Forget what was shown. */
  clear() {
    element("item-found").hidden = true;
    element("item-said").textContent = "";
    for (const id of ["history", "members", "item-facts"]) element(id).replaceChildren();
  }

  async #list(id, path, lines) {
    try {
      element(id).replaceChildren(...lines(await this.#ask(path)));
    } catch (error) {
      const why = error.status === 403 ? `the token lacks the right for it: ${error.reason}` : this.#inWords(error);
      element(id).replaceChildren(part("li", "note", `Not shown: ${why}`));
    }
  }

  async #publish() {
    const box = element("message");
    const isJson = element("json").checked;
    await this.#doing("Published.", {
      path: "messages",
      method: "POST",
      text: box.value,
      type: isJson ? "application/json" : "text/plain",
    }, () => (box.value = ""));
  }

  async #erase() {
    const question = `Empty the history of ${this.#item}? What is kept is deleted for good.`;
    if (!(await confirmed(question, "Empty it"))) return;
    await this.#doing("The history is empty.", { path: "history", method: "DELETE" });
  }

  async #doing(said, { path, ...request }, done = () => {}) {
    const item = this.#item;
    try {
      await this.#ask(`admin/channels/${encodeURIComponent(item)}/${path}`, request);
      done();
      await this.load(item, said);
    } catch (error) {
      element("item-said").textContent = this.#inWords(error);
    }
  }
}

function factsOf({ listeners, by_node, members, messages_per_second, offset, epoch, history, retain }) {
  const nodes = Object.entries(by_node).map(([node, count]) => `${count} on ${node}`).join(", ");
  const oldest = history.oldest === null ? "" : `, the oldest ${fullTime(history.oldest)}`;
  const facts = {
    Listeners: nodes ? `${amount(listeners)}: ${nodes}` : amount(listeners),
    Members: amount(members),
    Rate: amount(messages_per_second, "/s"),
    Position: `${epoch}:${offset}`,
    History: `${counted(history.length, "message")}, ${amount(history.bytes, "bytes")}${oldest}`,
    "Last message": retain === null ? "not kept for who comes late" : `kept for ${duration(retain)}`,
  };
  return Object.entries(facts).flatMap(([name, text]) => [part("dt", "", name), part("dd", "", text)]);
}

function messagesOf({ messages }) {
  if (messages.length === 0) return [part("li", "note", "None is kept.")];
  return messages.reverse().map(({ offset, sender, sent_at, data, encoding }) => {
    const { label, text } = describePayload(data, encoding);
    const about = part("span", "note", `#${offset} ${clockTime(sent_at)} `, isolated(sender ?? "(application)"), ` ${label} `);
    return part("li", "", about, isolated(text));
  });
}

function membersOf({ members, count }) {
  if (count === 0) return [part("li", "note", "Nobody.")];
  const lines = members.map(({ connection, subject }) => {
    return part("li", "", isolated(subject), " ", part("span", "note", connection));
  });
  const more = count - members.length;
  return more > 0 ? [...lines, part("li", "note", `and ${more} more`)] : lines;
}
