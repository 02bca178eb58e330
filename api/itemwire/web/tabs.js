// The items of the connection as tabs: one is shown, and the others count what comes meanwhile.

import { isolated, part } from "./dom.js";
import { oncePerFrame } from "./frames.js";

const STATES = { joining: "joining…", refused: "refused", left: "not joined" };
const MAX_COUNTED = 99;

/** The list of tabs; `shown` is called with the channel that is shown, or null for none. */
export class Tabs {
  /** The channel that is shown, or null. */
  selected = null;
  /** Every channel, by its item. */
  channels = new Map();

  #list;
  #shown;
  #tabs = new Map(); // channel -> its button
  #draw = oncePerFrame(() => this.#drawAll());

  constructor(list, shown) {
    [this.#list, this.#shown] = [list, shown];
    list.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Add a channel as the last tab. */
  add(channel) {
    const tab = part("button", "");
    tab.type = "button";
    tab.id = `tab-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "panel");
    tab.addEventListener("click", () => this.select(channel));
    this.channels.set(channel.id, channel);
    this.#tabs.set(channel, tab);
    this.#list.append(tab);
    this.#list.hidden = false;
    this.changed();
  }

  /** Take a channel away; the next one is shown. */
  remove(channel) {
    this.channels.delete(channel.id);
    this.#tabs.get(channel).remove();
    this.#tabs.delete(channel);
    this.#list.hidden = this.channels.size === 0;
    if (this.selected === channel) this.select([...this.channels.values()].at(-1) ?? null);
  }

  /** Show a channel. */
  select(channel) {
    this.selected?.show(false);
    this.selected = channel;
    channel?.show(true);
    this.#drawAll();
    this.#shown(channel);
  }

  /** Draw the tabs again: something that they show is different now. */
  changed() {
    this.#draw();
  }

  #drawAll() {
    for (const [channel, tab] of this.#tabs) {
      const isSelected = channel === this.selected;
      tab.setAttribute("aria-selected", String(isSelected));
      tab.tabIndex = isSelected ? 0 : -1;
      tab.dataset.item = channel.id;
      tab.dataset.state = channel.state;
      tab.replaceChildren(isolated(channel.id), ...notes(channel));
    }
  }

  #move(event) {
    const tabs = [...this.#tabs];
    const at = tabs.findIndex(([channel]) => channel === this.selected);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: -1 }[event.key];
    if (next === undefined || tabs.length === 0) return;
    event.preventDefault();
    const [channel, tab] = tabs.at(next % tabs.length);
    this.select(channel);
    tab.focus();
  }
}

function* notes({ state, unread }) {
  if (STATES[state]) yield part("span", "note", ` ${STATES[state]}`);
  const count = unread > MAX_COUNTED ? `${MAX_COUNTED}+` : unread;
  if (unread) yield part("span", "tag", String(count), part("span", "unseen", " new messages"));
}
