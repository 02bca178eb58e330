// The plots: a figure of the last hour each, as lines of an SVG with a legend in words.

import { isolated, part } from "../console/dom.js";
import { figures } from "./hour.js";
import { amount } from "./units.js";

const HEIGHT = 60;
const MAX_LINES = 6;
const SVG = "http://www.w3.org/2000/svg";

const PLOTS = [
  ["connections", "Connections", ""],
  ["deliveries_per_second", "Deliveries", "/s"],
  ["publishes_per_second", "Publishes", "/s"],
  ["handshakes_per_second", "Handshakes", "/s"],
  ["refusals_per_second", "Refusals", "/s"],
  ["closes_per_second", "Closes", "/s"],
  ["engine_latency_ms", "Engine latency", "ms"],
  ["loop_lag_ms", "Loop lag", "ms"],
  ["cpu_percent", "CPU", "%"],
  ["memory_bytes", "Memory", "bytes"],
  ["outbox_bytes", "Waiting for slow clients", "bytes"],
];

/** All plots, in their place. */
export class Plots {
  #plots;

  constructor(place) {
    this.#plots = PLOTS.map((spec) => new Plot(place, ...spec));
  }

  /** Draw the hour: of `nodes` together, or of each of them; `now` is the newest sample. */
  draw(hour, nodes, isEach, now) {
    for (const plot of this.#plots) plot.draw(hour, nodes, isEach, now);
  }
}

class Plot {
  #name;
  #title;
  #unit;
  #now = part("p", "now");
  #peak = part("p", "note");
  #legend = part("ul", "legend");
  #picture = document.createElementNS(SVG, "svg");

  constructor(place, name, title, unit) {
    [this.#name, this.#title, this.#unit] = [name, title, unit];
    this.#picture.setAttribute("preserveAspectRatio", "none");
    this.#picture.setAttribute("role", "img");
    const card = part("div", "plot panel", part("h3", "", title), this.#now, this.#picture, this.#peak);
    card.append(this.#legend);
    card.dataset.figure = name;
    place.append(card);
  }

  draw(hour, nodes, isEach, now) {
    const lines = isEach ? this.#linesOfNodes(hour, nodes, now) : this.#linesOfParts(hour, nodes, now);
    const peak = Math.max(0, ...lines.flatMap(({ values }) => values));
    const top = peak > 0 ? peak * 1.05 : 1;
    this.#picture.setAttribute("viewBox", `0 0 ${hour.steps - 1} ${HEIGHT}`);
    this.#picture.replaceChildren(...lines.map(({ values }, at) => path(values, top, at)));
    const words = isEach ? "" : this.#amount(now.get(this.#name));
    this.#now.textContent = words;
    this.#peak.textContent = `peak ${this.#amount(peak)}`;
    this.#picture.setAttribute("aria-label", `${this.#title}: ${words}, peak of the hour ${this.#amount(peak)}`);
    this.#legend.replaceChildren(...lines.filter(({ label }) => label).map(entry));
  }

  #linesOfNodes(hour, nodes, now) {
    return nodes.slice(0, MAX_LINES).map((node) => {
      const shown = this.#amount(now.get(node)?.get(this.#name));
      return { label: node, shown, values: hour.series(this.#name, [node]) };
    });
  }

  #linesOfParts(hour, nodes, now) {
    const parts = hour.parts(this.#name, nodes).slice(0, MAX_LINES);
    if (parts.length === 0) return [{ label: "", values: hour.series(this.#name, nodes) }];
    return parts.map((label) => {
      const full = `${this.#name}/${label}`;
      return { label, shown: this.#amount(now.get(full)), values: hour.series(full, nodes) };
    });
  }

  #amount(value) {
    const isRate = this.#unit === "/s"; // of what did not occur nothing is said
    return amount(value ?? (isRate ? 0 : undefined), this.#unit);
  }
}

/** Return the newest figures by name, or by node where each is shown. */
export function newest({ nodes, sum }, isEach, node) {
  if (isEach) return new Map(nodes.map((one) => [one.node, new Map(figures(one))]));
  const sample = node ? (nodes.find((one) => one.node === node) ?? {}) : sum;
  return new Map(figures(sample));
}

function path(values, top, at) {
  const line = document.createElementNS(SVG, "path");
  let isOn = false;
  const steps = values.map((value, x) => {
    if (value === null) return (isOn = false) || "";
    const y = HEIGHT - 1 - (value / top) * (HEIGHT - 2);
    const move = isOn ? "L" : "M";
    isOn = true;
    return `${move}${x} ${y.toFixed(1)}`;
  });
  line.setAttribute("d", steps.join(""));
  line.setAttribute("class", `line line-${at}`);
  return line;
}

function entry({ label, shown }, at) {
  return part("li", `line-${at}`, isolated(label), ` ${shown}`);
}
