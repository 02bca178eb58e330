// The rows of a table, which stay the same elements while their figures change: focus is kept.

import { isolated, part } from "../console/dom.js";

/** The body of a table; each column is `{ text, isNumber?, isLong?, act?, label? }`. */
export class Rows {
  #body;
  #key;
  #columns;
  #rows = new Map();

  constructor(body, key, columns) {
    [this.#body, this.#key, this.#columns] = [body, key, columns];
  }

  /** Show these records, in their order. */
  show(records) {
    const rows = new Map();
    for (const record of records) {
      const key = record[this.#key];
      const row = this.#rows.get(key) ?? this.#newRow(key);
      row.record = record;
      this.#columns.forEach(({ text }, at) => row.texts[at](String(text(record))));
      rows.set(key, row);
    }
    this.#rows = rows;
    const wanted = [...rows.values()].map(({ line }) => line);
    const isSame = wanted.length === this.#body.childElementCount
      && wanted.every((line, at) => line === this.#body.children[at]);
    if (!isSame) keepingFocus(() => this.#body.replaceChildren(...wanted));
  }

  #newRow(key) {
    const row = { line: document.createElement("tr"), record: null, texts: [] };
    row.line.dataset.key = key;
    for (const { isNumber, isLong, act, label } of this.#columns) {
      const cell = part("td", isNumber ? "number" : isLong ? "long" : "");
      const text = isolated("");
      row.texts.push((words) => text.textContent === words || (text.textContent = words));
      if (act) {
        const button = part("button", label ? "" : "link", text);
        button.type = "button";
        if (label) button.setAttribute("aria-label", `${label} ${key}`);
        button.addEventListener("click", () => act(row.record));
        cell.append(button);
      } else cell.append(text);
      row.line.append(cell);
    }
    return row;
  }
}

function keepingFocus(act) {
  const focused = document.activeElement;
  act();
  if (focused !== document.activeElement && focused.isConnected) focused.focus();
}
