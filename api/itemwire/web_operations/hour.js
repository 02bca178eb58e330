// The hour behind, of each node, in steps of ten seconds: what the plots are drawn from.

const STEP = 10; // seconds
const STEPS = 360; // in the hour
const FEWEST = 30; // shown of a server that has just begun
const PEAKS = new Set(["engine_latency_ms", "loop_lag_ms"]); // the worst counts, not the sum

/** The figures of every node, bounded by the hour. */
export class Hour {
  #nodes = new Map(); // node -> its steps, by number
  #last = 0; // the number of the newest step

  /** The nodes of the hour, in the order of their names. */
  get nodes() {
    return [...this.#nodes.keys()].sort();
  }

  /** How many steps there are to show; an hour of them, once there has been one. */
  get steps() {
    return this.#last - this.#first + 1;
  }

  /** The same in minutes. */
  get minutes() {
    return Math.ceil((this.steps * STEP) / 60);
  }

  /** Begin with what the server has kept. */
  load(nodes) {
    this.#nodes.clear();
    for (const [node, samples] of Object.entries(nodes)) {
      for (const sample of samples) this.add(node, sample);
    }
  }

  /** Add the figures of a moment. */
  add(node, sample) {
    const number = Math.floor(sample.at / STEP);
    this.#last = Math.max(this.#last, number);
    if (!this.#nodes.has(node)) this.#nodes.set(node, new Map());
    const steps = this.#nodes.get(node);
    const step = steps.get(number) ?? { samples: 0, values: new Map() };
    step.samples += 1;
    for (const [name, value] of figures(sample)) {
      const before = step.values.get(name) ?? 0;
      step.values.set(name, isPeak(name) ? Math.max(before, value) : before + value);
    }
    steps.set(number, step);
    this.#forget();
  }

  /** Return the values of a figure, oldest first, null for none: of these nodes together. */
  series(name, nodes) {
    const found = [];
    for (let number = this.#first; number <= this.#last; number++) {
      const values = nodes.map((node) => this.#value(node, name, number)).filter((v) => v !== null);
      found.push(values.length ? values.reduce(isPeak(name) ? larger : sum) : null);
    }
    return found;
  }

  /** Return the parts of a figure in the hour, such as reasons: those that count most come first. */
  parts(name, nodes) {
    const totals = new Map();
    for (const node of nodes) {
      for (const { values } of this.#nodes.get(node)?.values() ?? []) {
        for (const [full, value] of values) {
          const [whole, part] = full.split("/");
          if (whole === name && part) totals.set(part, (totals.get(part) ?? 0) + value);
        }
      }
    }
    return [...totals].sort(([, a], [, b]) => b - a).map(([part]) => part);
  }

  get #first() {
    const oldest = [...this.#nodes.values()].map((steps) => steps.keys().next().value);
    return Math.max(this.#last - STEPS + 1, Math.min(this.#last - FEWEST + 1, ...oldest));
  }

  #value(node, name, number) {
    const steps = this.#nodes.get(node);
    // A node whose second has not come yet is as it was; else the newest sum would dip.
    const step = steps?.get(number) ?? (number === this.#last ? steps?.get(number - 1) : undefined);
    if (!step) return null;
    const value = step.values.get(name);
    if (value === undefined) return name.includes("per_second") ? 0 : null;
    return isPeak(name) ? value : value / step.samples;
  }

  #forget() {
    for (const [node, steps] of this.#nodes) {
      for (const number of steps.keys()) {
        if (number > this.#last - STEPS) break; // they were added in their order
        steps.delete(number);
      }
      if (steps.size === 0) this.#nodes.delete(node);
    }
  }
}

/** Yield each figure of a sample: `name`, and `name/part` of those that have parts. */
export function* figures(sample) {
  for (const [name, value] of Object.entries(sample)) {
    if (typeof value === "number") yield [name, value];
    else if (value !== null && typeof value === "object") {
      const parts = Object.entries(value).filter(([, part]) => typeof part === "number");
      for (const [part, one] of parts) yield [`${name}/${part}`, one];
      const all = parts.map(([, one]) => one);
      if (all.length) yield [name, all.reduce(isPeak(name) ? larger : sum)];
    }
  }
}

const isPeak = (name) => PEAKS.has(name.split("/")[0]);
const larger = (a, b) => Math.max(a, b);
const sum = (a, b) => a + b;
