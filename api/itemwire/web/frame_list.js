// The frames as they travel: bounded, drawn only while somebody looks, held while paused.

import { part } from "./dom.js";
import { oncePerFrame } from "./frames.js";
import { shortened } from "./payloads.js";
import { preciseTime } from "./times.js";

const MAX_FRAMES = 300;
const WAYS = {
  in: ["←", "received"],
  out: ["→", "sent"],
  open: ["○", "opened"],
  close: ["×", "closed"],
  http: ["⇄", "over HTTP"],
  sse: ["⇠", "server-sent event"],
};

/** The list of frames, in a `<details>` with its buttons. */
export class FrameList {
  #details;
  #list;
  #count;
  #kept = [];
  #total = 0;
  #paused = false;
  #draw = oncePerFrame(() => this.#drawKept());

  constructor(details) {
    this.#details = details;
    this.#list = details.querySelector("ol");
    this.#count = details.querySelector("summary .note");
    details.addEventListener("toggle", () => this.#draw());
    const [pause, clear] = details.querySelectorAll("button");
    pause.addEventListener("click", () => {
      this.#paused = !this.#paused;
      pause.setAttribute("aria-pressed", String(this.#paused));
      this.#draw();
    });
    clear.addEventListener("click", () => {
      this.#kept = [];
      this.#list.replaceChildren();
    });
  }

  /** Add a frame, as it travelled. */
  add(way, text, bytes) {
    this.#total += 1;
    this.#kept.push({ at: Date.now(), way, text, bytes });
    if (this.#kept.length > MAX_FRAMES) this.#kept.shift();
    this.#draw();
  }

  #drawKept() {
    this.#count.textContent = this.#total || "";
    if (this.#paused || !this.#details.open) return;
    const place = this.#list;
    const isFollowing = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
    place.append(...this.#kept.map(drawFrame));
    this.#kept = [];
    while (place.childElementCount > MAX_FRAMES) place.firstElementChild.remove();
    if (isFollowing) place.scrollTop = place.scrollHeight;
  }
}

function drawFrame({ at, way, text, bytes }) {
  const [sign, words] = WAYS[way];
  const arrow = part("span", "way", sign);
  arrow.title = words;
  const size = bytes === undefined ? "" : `${bytes} B`;
  const line = part("li", "", part("span", "time", preciseTime(at)), arrow,
    part("span", "unseen", words), part("span", "size", size), part("code", "", shortened(text)));
  line.dataset.way = way;
  return line;
}
