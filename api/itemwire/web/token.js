// The claims of a token, decoded without a key and therefore not verified.

const ACTIONS = ["subscribe", "publish", "history", "presence"];
const EVERY_ITEM = "every item";

/** Decode a JWT's claims, or throw an error whose message says why this is not a JWT. */
export function decodeClaims(token) {
  const parts = token.split(".");
  if (parts.length !== 3) throw new Error("a JWT has three parts with two dots between them");
  decodePart(parts[0], "header");
  return decodePart(parts[1], "payload");
}

function decodePart(part, name) {
  let value;
  try {
    const binary = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Error(`its ${name} is not base64url of JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`its ${name} is not a JSON object`);
  }
  return value;
}

/** Return the rights in the claims, as `[where, actions]` pairs. */
export function listRights({ scope, items }) {
  const rights = new Map();
  const grant = (where, action) => {
    if (ACTIONS.includes(action)) rights.set(where, (rights.get(where) ?? new Set()).add(action));
  };
  for (const word of typeof scope === "string" ? scope.split(" ") : []) {
    const [prefix, ...rest] = word.split(":");
    const action = rest.pop();
    if (prefix === "items") grant(rest.join(":") || EVERY_ITEM, action);
    if (word === "admin") rights.set("the server", new Set(["admin"]));
  }
  for (const [pattern, actions] of Object.entries(items ?? {})) {
    for (const action of Array.isArray(actions) ? actions : []) grant(pattern, action);
  }
  return [...rights].map(([where, actions]) => [where, [...actions]]);
}
