// What the address of the page names behind its `#`: items and a way, to be shared. Never a token.

/** Return what a link names; `token` is there only in a link that its giver has made so. */
export function readLink() {
  const given = new URLSearchParams(location.hash.slice(1));
  return {
    items: given.getAll("item").join(", "),
    token: given.get("token"),
    replay: given.get("replay"),
    via: given.get("via"),
  };
}

/** Put this view into the address, in place of what is there: no history keeps that. */
export function writeLink(items, { replay, via }) {
  const named = new URLSearchParams(items.map((item) => ["item", item]));
  if (Number(replay)) named.set("replay", replay);
  if (via === "ticket") named.set("via", via);
  const fragment = String(named).replaceAll("%3A", ":");
  const address = location.pathname + location.search + (fragment && `#${fragment}`);
  history.replaceState(null, "", address);
}
