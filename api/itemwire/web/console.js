// The entry point of the page: connects the forms, the channel and the views, each in its module.

import { Channel } from "./channel.js";
import { ClaimsView } from "./claims.js";
import { CloseView } from "./closing.js";
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

let channel = null;
let replayedUpTo = 0; // the channel's offset when we joined: messages up to it are history

/** What each type of envelope of `itemwire.v1.json` changes on the page. */
const ENVELOPES = {
  welcome({ item, subject, connection, can, offset, members: present, member_count: count }) {
    replayedUpTo = offset;
    showState("open", `Connected to ${item} as ${subject}`);
    const rights = can.join(", ");
    log.add({ kind: "system", text: `connected; may ${rights}; the newest offset is ${offset}` });
    members.show(can.includes("presence") ? present : null, connection);
    if (present?.length && present.length < count) channel.askMembers(present.at(-1).connection);
    if (!can.includes("publish")) messageBox.placeholder = "This token may not publish here";
    messageBox.focus();
  },
  message({ offset, ephemeral, sender, sent_at, data, encoding }) {
    const own = sender === channel.subject;
    const replayed = offset <= replayedUpTo;
    log.add({ kind: "message", at: sent_at, sender, own, offset, ephemeral, replayed, data, encoding });
  },
  direct({ sender, sent_at, data, encoding }) {
    log.add({ kind: "message", at: sent_at, sender, own: false, replayed: false, data, encoding });
  },
  direct_lost() {
    log.add({ kind: "error", text: "Messages to you alone may be lost." });
  },
  joined({ member }) {
    members.joined(member);
    log.add({ kind: "joined", about: member.subject, text: " joined" });
  },
  updated({ member }) {
    members.joined(member);
  },
  left({ member }) {
    members.left(member);
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
  gap({ from, to }) {
    log.add({ kind: "error", text: `messages ${from} to ${to} were missed` });
  },
  reply({ members: page, count, next }) {
    if (page === undefined) return; // the reply to a publish: the message itself follows in order
    members.add(page, count);
    if (next !== undefined) channel.askMembers(next);
  },
  closing() {}, // the channel keeps it, and shows it when the socket closes
  pong() {},
};

function receive(envelope) {
  if (Object.hasOwn(ENVELOPES, envelope.type)) ENVELOPES[envelope.type](envelope);
  else log.add({ kind: "error", text: `an envelope of the unknown type “${envelope.type}”` });
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
  showState("connecting", `Connecting to ${itemBox.value}…`);
  log.add({ kind: "system", text: `connecting to ${itemBox.value}` });
  const address = { item: itemBox.value, token: pastedToken(), replay: replayBox.value };
  channel = new Channel(address, { onEnvelope: receive, onClosed: closed });
}

function disconnect() {
  showState("closing", "Disconnecting…");
  channel.leave();
}

function closed(ending) {
  const { name, own } = close.show(ending);
  showState("closed", own ? "Disconnected" : `Closed: ${name}`);
  log.add({ kind: "system", text: `closed: ${name}` });
  members.clear();
  messageBox.placeholder = "Message";
  const lostFocus = document.activeElement.matches(":disabled, body");
  if (lostFocus) element("connect").focus({ preventScroll: true });
}

function send(event) {
  event.preventDefault();
  if (messageBox.value === "") return;
  channel.publish(jsonSwitch.checked ? messageBox.value : JSON.stringify(messageBox.value));
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
