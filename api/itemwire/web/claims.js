// Shows the claims of the pasted token, and the time until it expires.

import { isolated as asWritten, part } from "./dom.js";
import { decodeClaims, listRights } from "./token.js";
import { fullTime } from "./times.js";

/** The view of the claims of the token in the token box. */
export class ClaimsView {
  #place;
  #expiry = null;

  constructor(place) {
    this.#place = place;
    setInterval(() => this.#tick(), 1000);
  }

  /** Show the claims of this token, or why it is not a JWT. */
  show(token) {
    this.#expiry = null;
    if (token === "") return this.#say("No token yet.", "none");
    try {
      this.#list(decodeClaims(token));
    } catch (error) {
      this.#say(`This is not a JWT: ${error.message}.`, "invalid");
    }
  }

  #say(words, state) {
    this.#place.dataset.state = state;
    this.#place.replaceChildren(part("p", "note", words));
  }

  #list(claims) {
    const list = document.createElement("dl");
    const value = (name) => list.appendChild(described(list, name));
    value("Subject").append(isolated(claims.sub ?? "none (required)"));
    if (claims.iss !== undefined) value("Issuer").append(isolated(claims.iss));
    this.#expiry = { at: claims.exp, place: value("Expires") };
    const rights = listRights(claims);
    for (const [where, actions] of rights) {
      value("Rights").append(`${actions.join(", ")} on `, isolated(where));
    }
    if (rights.length === 0) value("Rights").append("none named in the token");
    this.#place.dataset.state = "decoded";
    this.#place.replaceChildren(list);
    this.#tick();
  }

  #tick() {
    if (this.#expiry === null) return;
    const { at, place } = this.#expiry;
    const words = expiryInWords(at);
    if (place.textContent !== words) place.textContent = words;
    place.dataset.expired = typeof at === "number" && at * 1000 <= Date.now();
  }
}

function expiryInWords(at) {
  if (at === undefined) return "not given (required)";
  if (typeof at !== "number") return "not a number (invalid)";
  return fullTime(at);
}

/** Add a name to the list unless it repeats the one above, and return the cell for its value. */
function described(list, name) {
  const names = list.querySelectorAll("dt");
  if (names.length === 0 || names[names.length - 1].textContent !== name) {
    list.appendChild(document.createElement("dt")).textContent = name;
  }
  return document.createElement("dd");
}

function isolated(value) {
  return asWritten(typeof value === "string" ? value : JSON.stringify(value));
}
