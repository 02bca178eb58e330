// The entry point of the page: connects the forms, the connection and the views.

import { PublishUnconfirmed } from "../itemwire.js";
import { ask } from "./asking.js";
import { Channel } from "./channel.js";
import { ClaimsView } from "./claims.js";
import { CloseView } from "./closing.js";
import { JsonText } from "./codec.js";
import { Connection } from "./connection.js";
import { explainBy } from "./explain.js";
import { FrameList } from "./frame_list.js";
import { readLink, writeLink } from "./link.js";
import { Tabs } from "./tabs.js";
import { relativeTime } from "./times.js";

const element = (id) => document.getElementById(id);
const itemBox = element("item");
const tokenBox = element("token");
const replayBox = element("replay");
const viaBox = element("via");
const messageBox = element("message");
const jsonSwitch = element("json");
const state = element("state");

const claims = new ClaimsView(element("claims"));
const close = new CloseView(element("close"));
const frames = new FrameList(element("frames"));
const tabs = new Tabs(element("tabs"), () => showAll());
const views = {
  log: element("log"),
  members: [element("members"), element("members-count"), element("members-note")],
  tell: (...frame) => frames.add(...frame),
  changed: (channel) => {
    tabs.changed();
    if (channel !== tabs.selected) return;
    showAll();
    const waits = document.activeElement.matches("body, #connect, #item");
    if (waits && channel?.state === "joined") messageBox.focus();
  },
};

let connection = null;
let lost = null; // how the connection ended last
let subject = "";
let isBroken = false;

/** What envelopes that are about no item do. */
const FRAMES = {
  hello: (envelope) => (subject = envelope.subject),
  welcome: (envelope) => (subject = envelope.subject),
  expiring({ expires_at }) {
    const when = relativeTime(expires_at);
    noteEverywhere(`the token expires ${when}: paste a new one and press Refresh, or the server closes`);
  },
};

function noteEverywhere(text) {
  for (const channel of tabs.channels.values()) channel.note(text);
}

/** Read the token without the line breaks that a terminal puts into a long one. */
function pastedToken() {
  return tokenBox.value.replace(/\s+/g, "");
}

/** Connect if there is no connection, and join the items of the box. */
function connect(event) {
  event.preventDefault();
  close.clear();
  const ids = itemBox.value.split(",").map((id) => id.trim()).filter(Boolean);
  for (const id of ids) if (!tabs.channels.has(id)) tabs.add(new Channel(id, views));
  const wanted = connection ? ids : [...tabs.channels.keys()];
  connection ??= newConnection();
  for (const id of wanted) join(tabs.channels.get(id));
  itemBox.value = "";
  tabs.select(tabs.channels.get(ids[0]) ?? tabs.selected ?? [...tabs.channels.values()][0]);
  keepLink();
}

function join(channel) {
  channel.join(connection.wire, Number(replayBox.value) || undefined);
}

function newConnection() {
  const made = new Connection({ token: pastedToken, via: viaBox.value, tell: views.tell });
  const { wire } = made;
  const on = (event, act) => wire.on(event, (value) => made === connection && act(value));
  on("frame", take);
  on("direct", (message) => tabs.selected?.showMessage(message));
  on("direct_lost", () => tabs.selected?.fail("Messages to you alone may be lost."));
  on("lost", (ending) => {
    lost = { ...ending, own: false, notice: ending };
    if (ending.retry === "token" && !made.hasNewToken) return ended(lost);
    const { name } = close.show(lost);
    noteEverywhere(`closed: ${name}`);
  });
  on("error", failed);
  on("state", () => showAll());
  return made;
}

function take(envelope) {
  FRAMES[envelope.type]?.(envelope);
  const { item } = envelope;
  if (item !== undefined) tabs.channels.get(item)?.take(envelope);
  else if (envelope.type === "error") tabs.selected?.take(envelope);
}

/** Tell what went wrong outside of an item, and how it ended if it did. */
function failed(error) {
  if (error.reason === "no_new_token") return; // `expiring` has told it
  if (connection.wire.state !== "refused") return noteEverywhere(error.message);
  const { status, reason } = error;
  ended(lost ?? { code: status || undefined, reason, own: false });
}

/** Show what the connection and the shown item are now. */
function showAll() {
  const channel = tabs.selected;
  const now = connection?.wire.state ?? "idle";
  const rights = channel?.rights ?? [];
  if (now === "connecting") showState("connecting", "Connecting…");
  if (now === "connected") showState("open", openWords(channel));
  if (now === "reconnecting") showState("reconnecting", isBroken ? "Broken" : "Closed; connecting again…");
  const canPublish = rights.includes("publish") || channel?.state !== "joined";
  messageBox.placeholder = canPublish ? "Message" : "This token may not publish here";
  messageBox.form.querySelector("fieldset").disabled = channel?.state !== "joined";
  element("panel").setAttribute("aria-label", channel ? `Item ${channel.id}` : "Item");
  element("leave").disabled = element("sse").disabled = !channel;
  element("sse").setAttribute("aria-pressed", String(channel?.events.isOpen ?? false));
  if (now === "connected") showRefusal(channel?.refusal);
}

function showRefusal(refusal) {
  lost = null;
  if (refusal) close.show(refusal);
  else close.clear();
}

function openWords(channel) {
  if (channel?.state === "joined") return `Connected to ${channel.id} as ${subject}`;
  return channel?.state === "refused" ? `Connected; ${channel.id} was refused` : "Connected";
}

function showState(name, words) {
  const isUp = connection !== null;
  state.dataset.state = name;
  state.textContent = words;
  element("connect").textContent = isUp ? "Join" : "Connect";
  element("refresh").disabled = name !== "open";
  element("disconnect").disabled = element("break").disabled = !isUp;
  viaBox.disabled = isUp;
  itemBox.required = isUp || tabs.channels.size === 0;
}

function disconnect() {
  ended({ code: 1000, reason: "", own: true });
}

/** Show that this was the end of the connection, by the user's wish or a refusal. */
function ended(ending) {
  const { wire } = connection;
  connection = null;
  lost = null;
  setBroken(false);
  wire.close();
  const { name, own: isOwn } = close.show(ending);
  noteEverywhere(`closed: ${name}`);
  for (const channel of tabs.channels.values()) channel.detach();
  tabs.changed();
  showAll();
  showState("closed", isOwn ? "Disconnected" : `Closed: ${name}`);
  const lostFocus = document.activeElement.matches(":disabled, body");
  if (lostFocus) element("connect").focus({ preventScroll: true });
}

/** Break the line or bring it back: what comes meanwhile shows how a client resumes. */
function setBroken(nowBroken) {
  isBroken = nowBroken;
  element("break").setAttribute("aria-pressed", String(isBroken));
  connection?.setBroken(isBroken);
  if (isBroken) noteEverywhere("the line is broken");
}

async function refresh() {
  const { items = {}, expires_at } = await connection.refresh().catch((error) => ({ error }));
  if (expires_at === undefined) return; // the refusal is logged as it comes
  for (const [id, can] of Object.entries(items)) tabs.channels.get(id)?.item?._allowed(can);
  noteEverywhere(`the token was refreshed; it expires ${expires_at ? relativeTime(expires_at) : "never"}`);
  showAll();
}

function leave() {
  const channel = tabs.selected;
  channel.remove();
  tabs.remove(channel);
  close.clear();
  keepLink();
  showAll();
}

function toggleEvents() {
  const { events } = tabs.selected;
  if (events.isOpen) events.close();
  else tabs.selected.listen(pastedToken());
  showAll();
}

function send(event) {
  event.preventDefault();
  if (messageBox.value === "") return;
  const text = jsonSwitch.checked ? messageBox.value : JSON.stringify(messageBox.value);
  const channel = tabs.selected;
  channel.item.publish(new JsonText(text)).catch((error) => {
    // What the server refuses is logged as it comes.
    if (error instanceof PublishUnconfirmed) channel.fail(error.message);
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

/** Fill the boxes from the link, then take a token out of it: no server or history keeps that. */
function prefill() {
  if (location.hash === "") return;
  const { items, token, replay, via } = readLink();
  itemBox.value = items || itemBox.value;
  tokenBox.value = token ?? tokenBox.value;
  replayBox.value = replay ?? replayBox.value;
  viaBox.value = via === "ticket" ? via : "token";
  keepLink();
  claims.show(pastedToken());
  element("connect").focus();
}

function keepLink() {
  const typed = itemBox.value.split(",").map((id) => id.trim()).filter(Boolean);
  const items = new Set([...tabs.channels.keys(), ...typed]);
  writeLink([...items], { replay: replayBox.value, via: viaBox.value });
}

element("connection").addEventListener("submit", connect);
element("disconnect").addEventListener("click", disconnect);
element("break").addEventListener("click", () => setBroken(!isBroken));
element("refresh").addEventListener("click", refresh);
element("leave").addEventListener("click", leave);
element("sse").addEventListener("click", toggleEvents);
element("clear").addEventListener("click", () => tabs.selected?.log.clear());
element("composer").addEventListener("submit", send);
messageBox.addEventListener("input", checkJson);
jsonSwitch.addEventListener("change", checkJson);
tokenBox.addEventListener("input", () => claims.show(pastedToken()));
for (const box of [itemBox, replayBox, viaBox]) box.addEventListener("change", keepLink);
window.addEventListener("hashchange", prefill); // a second link opened in the same tab
const askAsAdmin = (path, request) => ask(path, { ...request, token: element("admin").value.trim() });
explainBy(element("explain"), element("explained"), askAsAdmin, () => ({
  token: pastedToken(),
  item: element("explain-item").value.trim() || tabs.selected?.id,
  action: element("explain-action").value,
}));
prefill();
