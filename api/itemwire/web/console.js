// The entry point of the page: connects the forms, the client and the views, each in its module.

import { ItemwireClient, PublishUnconfirmed } from "../itemwire.js";
import { ClaimsView } from "./claims.js";
import { CloseView } from "./closing.js";
import { EXACT_JSON, JsonText } from "./codec.js";
import { Log } from "./log.js";
import { Members } from "./members.js";
import { relativeTime } from "./times.js";

const element = (id) => document.getElementById(id);
const itemBox = element("item");
const tokenBox = element("token");
const replayBox = element("replay");
const messageBox = element("message");
const jsonSwitch = element("json");
const state = element("state");

const log = new Log(element("log"));
const members = new Members(element("members"), element("members-count"), element("members-note"));
const claims = new ClaimsView(element("claims"));
const close = new CloseView(element("close"));

let wire = null;
let item = null;
let own = {}; // our subject and connection, as the server names them
let replayedUpTo = 0; // the channel's offset when we joined: messages up to it are history
let lost = null; // how the connection ended last

/** What each type of envelope adds to the log, beside messages, which the item hands over. */
const FRAMES = {
  welcome({ subject, connection, can, offset, was_recovering, member_count = 0 }) {
    own = { subject, connection };
    members.total = member_count;
    if (!was_recovering) replayedUpTo = offset;
    const rights = can.join(", ");
    log.add({ kind: "system", text: `connected; may ${rights}; the newest offset is ${offset}` });
  },
  joined({ member }) {
    members.total += 1;
    log.add({ kind: "joined", about: member.subject, text: " joined" });
  },
  left({ member }) {
    members.total -= 1;
    log.add({ kind: "left", about: member.subject, text: " left" });
  },
  error({ code, detail, temporary }) {
    const advice = temporary ? " (temporary: try again)" : "";
    log.add({ kind: "error", text: detail ? `${code}: ${detail}${advice}` : `${code}${advice}` });
  },
  expiring({ expires_at }) {
    const when = relativeTime(expires_at);
    log.add({ kind: "system", text: `the token expires ${when}; the server will then close` });
  },
  reply({ members: page, count }) {
    if (page !== undefined) members.total = count;
  },
};

function showMessage({ offset, ephemeral, sender, sent_at, data, encoding }) {
  const isOwn = sender === own.subject;
  const replayed = offset <= replayedUpTo;
  log.add({ kind: "message", at: sent_at, sender, own: isOwn, offset, ephemeral, replayed, data, encoding });
}

function showDirect({ sender, sent_at, data, encoding }) {
  log.add({ kind: "message", at: sent_at, sender, own: false, replayed: false, data, encoding });
}

function showState(name, words) {
  const busy = name !== "idle" && name !== "closed";
  state.dataset.state = name;
  state.textContent = words;
  element("connect").disabled = busy;
  element("disconnect").disabled = !busy;
  messageBox.form.querySelector("fieldset").disabled = name !== "open";
}

/** Read the token without the line breaks that a terminal puts into a long one. */
function pastedToken() {
  return tokenBox.value.replace(/\s+/g, "");
}

function connect(event) {
  event.preventDefault();
  close.clear();
  log.add({ kind: "system", text: `connecting to ${itemBox.value}` });
  wire = new ItemwireClient({
    url: new URL(".", document.baseURI).href, // a path prefix and TLS carry over
    token: pastedToken() || null,
    codec: EXACT_JSON,
  });
  wire.on("frame", (envelope) => FRAMES[envelope.type]?.(envelope));
  wire.on("direct", showDirect);
  wire.on("direct_lost", () => log.add({ kind: "error", text: "Messages to you alone may be lost." }));
  wire.on("lost", (ending) => (lost = ending));
  wire.on("error", (error) => wire.state !== "refused" && log.add({ kind: "error", text: error.message }));
  wire.on("state", showConnection);
  item = wire.item(itemBox.value, { replay: Number(replayBox.value) || undefined });
  item.on("message", showMessage);
  item.on("gap", ({ from, to }) => log.add({ kind: "error", text: `messages ${from} to ${to} were missed` }));
  item.on("members", (present) => members.show(present, own.connection));
  item.on("state", (now) => now === "joined" && joined());
  item.on("refused", ({ reason, retry }) => ended({ reason, own: false, notice: { retry } }));
  item.join();
}

function showConnection(now) {
  if (now === "connecting") showState("connecting", `Connecting to ${item.id}…`);
  if (now === "reconnecting") {
    const { name } = close.show({ ...lost, own: false, notice: lost });
    log.add({ kind: "system", text: `closed: ${name}; connecting again` });
    showState("reconnecting", `Closed: ${name}; connecting again…`);
  }
  if (now === "refused") ended({ ...lost, own: false, notice: lost });
}

function joined() {
  const { rights } = item;
  close.clear();
  showState("open", `Connected to ${item.id} as ${own.subject}`);
  if (!rights.includes("presence")) members.show(null, own.connection);
  messageBox.placeholder = rights.includes("publish") ? "Message" : "This token may not publish here";
  messageBox.focus();
}

function disconnect() {
  ended({ code: 1000, reason: "", own: true });
}

/** Show that this was the end, by the user's wish or a refusal. */
function ended(ending) {
  wire.close();
  const { name, own: isOwn } = close.show(ending);
  showState("closed", isOwn ? "Disconnected" : `Closed: ${name}`);
  log.add({ kind: "system", text: `closed: ${name}` });
  members.clear();
  messageBox.placeholder = "Message";
  const lostFocus = document.activeElement.matches(":disabled, body");
  if (lostFocus) element("connect").focus({ preventScroll: true });
}

function send(event) {
  event.preventDefault();
  if (messageBox.value === "") return;
  const text = jsonSwitch.checked ? messageBox.value : JSON.stringify(messageBox.value);
  item.publish(new JsonText(text)).catch((error) => {
    // What the server refuses is logged as it comes.
    if (error instanceof PublishUnconfirmed) log.add({ kind: "error", text: error.message });
  });
  messageBox.value = "";
}

/** Let the browser's own form validation refuse text that is not JSON, before it is sent. */
function checkJson() {
  messageBox.setCustomValidity("");
  if (!jsonSwitch.checked || messageBox.value === "") return;
  try {
    JSON.parse(messageBox.value);
  } catch (error) {
    messageBox.setCustomValidity(`This is not JSON: ${error.message}`);
  }
}

/** Fill the boxes from `#item=…&token=…`, then clear it: no server or history keeps the token. */
function prefill() {
  if (location.hash === "") return;
  const given = new URLSearchParams(location.hash.slice(1));
  for (const box of [itemBox, tokenBox, replayBox]) box.value = given.get(box.id) ?? box.value;
  history.replaceState(null, "", location.pathname + location.search);
  claims.show(pastedToken());
  element("connect").focus();
}

element("connection").addEventListener("submit", connect);
element("disconnect").addEventListener("click", disconnect);
element("composer").addEventListener("submit", send);
element("clear").addEventListener("click", () => log.clear());
messageBox.addEventListener("input", checkJson);
jsonSwitch.addEventListener("change", checkJson);
tokenBox.addEventListener("input", () => claims.show(pastedToken()));
window.addEventListener("hashchange", prefill); // a second link opened in the same tab
prefill();
