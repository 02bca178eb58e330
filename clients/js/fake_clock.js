// A clock that stands until a test moves it.

/** @typedef {{ at: number, run: () => void }} Timer */

const START = Date.UTC(2026, 0, 1);

/** A clock that stands until it is moved, and the timers that are set by it. */
export class FakeClock {
  #now = START;
  /** @type {Set<Timer>} */
  #timers = new Set();

  /** Milliseconds, as `Date.now` counts them. */
  now = () => this.#now;

  /** @param {() => void} run @param {number} ms @returns {Timer} */
  setTimeout = (run, ms) => {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return timer;
  };

  /** @param {Timer} timer */
  clearTimeout = (timer) => {
    this.#timers.delete(timer);
  };

  /** How many timers are set. */
  get waiting() {
    return this.#timers.size;
  }

  /**
   * Move the clock, and call each timer at its moment.
   * @param {number} ms
   */
  async advance(ms) {
    const end = this.#now + ms;
    await settled();
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.at);
      await this.#run(next);
    }
    this.#now = end;
    await settled();
  }

  /**
   * Move the clock as a sleep does: timers that became due are called late, all at the end.
   * @param {number} ms
   */
  async sleep(ms) {
    this.#now += ms;
    for (let next = this.#next(this.#now); next; next = this.#next(this.#now)) await this.#run(next);
    await settled();
  }

  /** @param {Timer} timer */
  async #run(timer) {
    this.#timers.delete(timer);
    timer.run();
    await settled();
  }

  /** @param {number} end */
  #next(end) {
    const due = [...this.#timers].filter(({ at }) => at <= end);
    return due.sort((a, b) => a.at - b.at)[0];
  }
}

/** Return once everything that can go on without time passing has gone on. */
export function settled() {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
