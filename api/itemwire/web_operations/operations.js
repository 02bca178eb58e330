// The entry point of the operations page: signs in, and gives each panel what it shows.

import { ask } from "../console/asking.js";
import { CloseView, explain } from "../console/closing.js";
import { part } from "../console/dom.js";
import { explainBy } from "../console/explain.js";
import { oncePerFrame } from "../console/frames.js";
import { Channels } from "./channels.js";
import { Feed } from "./feed.js";
import { Hour } from "./hour.js";
import { ItemPanel } from "./item.js";
import { Nodes } from "./nodes.js";
import { Plots, newest } from "./plots.js";
import { Subject } from "./subject.js";

const element = (id) => document.getElementById(id);
const PANELS = ["watch", "nodes-panel", "channels-panel", "item-panel", "subject-panel", "explain-panel"];

const AGAIN = 5000; // milliseconds

let token = ""; // in the memory of this page only
let session = 0; // a number for each time between signing in and out
let latest = null; // the newest sample
let timer = 0;

const hour = new Hour();
const plots = new Plots(element("plots"));
const close = new CloseView(element("close"));
const view = element("view");

/** Ask with the token; an answer that comes after signing out is never handed over. */
async function askAsAdmin(path, request) {
  const asked = session;
  const settled = await Promise.allSettled([ask(path, { ...request, token })]);
  if (asked !== session) return new Promise(() => {});
  if (settled[0].status === "rejected") throw settled[0].reason;
  return settled[0].value;
}

const nodes = new Nodes(askAsAdmin, inWords);
const item = new ItemPanel(askAsAdmin, inWords);
const subject = new Subject(askAsAdmin, inWords, () => latest?.at ?? Date.now() / 1000);
const channels = new Channels(askAsAdmin, inWords, (id) => {
  item.load(id);
  element("item-panel").scrollIntoView({ block: "nearest" });
});

const feed = new Feed({
  connecting: () => showState("connecting", "Connecting…"),
  hour(envelope) {
    hour.load(envelope.nodes);
    signedIn();
  },
  sample(envelope) {
    const isFirst = latest === null;
    latest = envelope;
    for (const sample of envelope.nodes) hour.add(sample.node, { at: envelope.at, ...sample });
    draw();
    if (isFirst) load();
  },
  lost: (name) => showState("reconnecting", `Closed: ${name}; connecting again…`),
  refused(ending) {
    signedOut();
    const { name } = close.show(ending);
    showState("closed", `Refused: ${name}`);
    if (!["scope_missing", "forbidden"].includes(ending.reason)) return;
    const words = "Who you are is known, but you do not administer: the scope of a token needs the word admin.";
    element("close").replaceChildren(part("p", "name", name), part("p", "", words));
  },
});

/** Tell why the server did not do it. */
function inWords(error) {
  if (error.status === undefined) return `The server gave no answer: ${error.message}`;
  const { happened, advice, verdict } = explain({ code: error.status, reason: error.reason });
  return `${error.message}. ${error.status === 422 ? "" : `${happened} ${advice || verdict}`}`;
}

function showState(name, words) {
  element("state").dataset.state = name;
  element("state").textContent = words;
}

function signedIn() {
  close.clear();
  const isFirst = element("watch").hidden;
  showSignedIn(true);
  showState("open", "Live");
  if (!isFirst) return;
  element("token").value = "";
  timer = setInterval(load, AGAIN);
  view.focus();
}

function signedOut() {
  feed.close();
  token = "";
  session += 1;
  latest = null;
  clearInterval(timer);
  for (const panel of [channels, nodes, item, subject]) panel.clear();
  element("explained").replaceChildren();
  showSignedIn(false);
  showState("idle", "Not signed in");
  element("token").focus();
}

function showSignedIn(isIn) {
  element("sign-in").hidden = isIn;
  element("sign-out").hidden = !isIn;
  for (const id of PANELS) element(id).hidden = !isIn;
}

const draw = oncePerFrame(() => {
  if (latest === null) return;
  showChoices();
  element("minutes").textContent = hour.minutes === 60 ? "hour" : `${hour.minutes} minutes`;
  const isEach = view.value === "each";
  const one = view.value.startsWith("node ") ? view.value.slice(5) : "";
  const chosen = one ? [one] : hour.nodes;
  plots.draw(hour, chosen, isEach, newest(latest, isEach, one));
});

/** Ask for the tables anew: a hidden page draws no frame, and so asks nothing. */
const load = oncePerFrame(() => {
  if (latest === null) return;
  channels.load();
  nodes.load();
});

/** Offer the nodes to look at. */
function showChoices() {
  const wanted = hour.nodes.map((node) => `node ${node}`);
  const shown = [...view.options].slice(2).map(({ value }) => value);
  if (wanted.join() === shown.join()) return;
  const chosen = view.value;
  while (view.options.length > 2) view.options[2].remove();
  for (const one of wanted) view.add(new Option(one, one));
  view.value = wanted.includes(chosen) || chosen === "each" ? chosen : "sum";
}

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = element("token").value.replace(/\s+/g, "");
  close.clear();
  feed.open(token);
});
element("sign-out").addEventListener("click", signedOut);
view.addEventListener("change", draw);
explainBy(element("explain"), element("explained"), askAsAdmin, () => ({
  token: element("explain-token").value.replace(/\s+/g, ""),
  item: element("explain-item").value.trim(),
  action: element("explain-action").value,
}));
