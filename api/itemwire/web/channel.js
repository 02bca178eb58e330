// One item of the connection: its log, its members, and its server-sent events beside the socket.

import { explain } from "./closing.js";
import { EventsBeside } from "./events.js";
import { Log } from "./log.js";
import { Members } from "./members.js";

/** An item that the user wants, joined or not; it outlives the connection. */
export class Channel {
  /** The client's item, while there is a connection. */
  item = null;
  /** How the server has refused it, or null. */
  refusal = null;
  /** How many messages came while it was not shown. */
  unread = 0;

  #views;
  #isShown = false;
  #replayedUpTo = 0; // the item's offset when we joined: messages up to it are history
  #newest = 0; // the offset of the newest message shown
  #own = {}; // our subject and connection, as the server names them
  #heard = 0; // messages of the stream
  #offs = []; // what ends our handlers at the client's item

  /** `views` are the places on the page, and `tell` for the list of frames. */
  constructor(id, views) {
    this.id = id;
    this.#views = views;
    this.log = new Log(views.log);
    this.members = new Members(...views.members);
    this.events = new EventsBeside(id, (event) => this.#heardEvent(event));
  }

  /** What the tab says of it: `left`, `joining`, `joined` or `refused`. */
  get state() {
    return this.refusal ? "refused" : (this.item?.state ?? "left");
  }

  /** What the caller may do here. */
  get rights() {
    return this.item?.rights ?? [];
  }

  /** Join it on a connection. */
  join(wire, replay) {
    this.refusal = null;
    if (this.item?.state === "joining" || this.item?.state === "joined") return;
    this.note(`joining ${this.id}`);
    if (this.item === null) this.#follow(itemOf(wire, this.id, replay));
    this.item.join();
  }

  /** Forget the connection that has ended. */
  detach() {
    this.item = null;
    this.members.clear();
    this.events.close();
  }

  /** Leave it for good. */
  remove() {
    for (const off of this.#offs) off();
    this.item?.leave();
    this.events.close();
    this.log.remove();
  }

  /** Show it, or hide it behind another one. */
  show(isShown) {
    this.#isShown = isShown;
    this.unread = 0;
    this.log.show(isShown);
    this.members.place(isShown);
  }

  /** Add a line about what has happened. */
  note(text) {
    this.log.add({ kind: "system", text });
  }

  /** Add a line about what has failed. */
  fail(text) {
    this.log.add({ kind: "error", text });
  }

  /** Take an envelope about this item; messages come from the client's item instead. */
  take(envelope) {
    this.#FRAMES[envelope.type]?.(envelope);
  }

  /** Add a message, of the item or to us alone. */
  showMessage({ offset, ephemeral, sender, sent_at, data, encoding }) {
    const own = offset !== undefined && sender === this.#own.subject;
    const replayed = offset <= this.#replayedUpTo;
    this.#newest = Math.max(this.#newest, offset ?? 0);
    this.log.add({ kind: "message", at: sent_at, sender, own, offset, ephemeral, replayed, data, encoding });
    if (this.#isShown) return;
    this.unread += 1;
    this.#views.changed();
  }

  /** Open the stream beside the socket, from where it ended before. */
  async listen(token) {
    this.note("opening the item’s server-sent events");
    try {
      await this.events.open(token);
      this.note(`the stream of events has ended after ${this.#heard} messages`);
    } catch (error) {
      const { happened, advice } = explain({ code: error.status, reason: error.reason ?? "" });
      this.fail(`events: ${error.message}. ${error.reason ? `${happened} ${advice}` : ""}`);
    }
    this.#views.changed(this);
  }

  #FRAMES = {
    welcome: ({ subject, connection, can, offset, was_recovering, recovered }) => {
      this.#own = { subject, connection };
      if (!was_recovering) this.#replayedUpTo = offset;
      const missed = offset - this.#newest;
      if (was_recovering && recovered) this.note(`resumed; nothing is lost; missed messages that follow: ${missed}`);
      if (was_recovering && !recovered) this.fail("not resumed: the server no longer has all that was missed");
      this.note(`connected; may ${can.join(", ")}; the newest offset is ${offset}`);
      this.#newest = Math.max(this.#newest, was_recovering && recovered ? 0 : offset);
    },
    joined: ({ member }) => this.#moved("joined", member),
    left: ({ member }) => this.#moved("left", member),
    error: ({ code, detail, temporary }) => {
      const advice = temporary ? " (temporary: try again)" : "";
      this.fail(detail ? `${code}: ${detail}${advice}` : `${code}${advice}`);
    },
    ended: ({ reason }) => this.fail(`the server has ended this item: ${reason}`),
  };

  #moved(kind, member) {
    this.log.add({ kind, about: member.subject, text: ` ${kind}` });
  }

  #follow(item) {
    this.item = item;
    const refused = ({ reason, retry }) => {
      this.refusal = { reason, own: false, notice: { retry } };
      this.#changed();
    };
    this.#offs = [
      item.on("message", (message) => this.showMessage(message)),
      item.on("gap", ({ from, to }) => this.fail(`messages ${from} to ${to} were missed`)),
      item.on("members", (present) => {
        this.members.total = item.memberCount;
        this.members.show(present, this.#own.connection);
      }),
      item.on("state", () => this.#changed()),
      item.on("refused", refused),
    ];
  }

  #changed() {
    if (this.state === "joined" && !this.rights.includes("presence")) this.members.show(null, null);
    this.#views.changed(this);
  }

  #heardEvent({ name, data, raw }) {
    this.#views.tell("sse", raw, raw.length);
    if (name === "message") this.#heard += 1;
    if (name === "welcome") {
      const { was_recovering, recovered, offset } = data;
      const how = was_recovering ? (recovered ? "resumed" : "not resumed: messages are lost") : "open";
      this.note(`events: ${how} at offset ${offset}`);
    }
    if (name === "closing") this.fail(`events: closed with ${data.reason}`);
  }
}

/** Return the client's item; one that was left goes on from there, whatever is to be replayed. */
function itemOf(wire, id, replay) {
  try {
    return wire.item(id, { replay });
  } catch {
    return wire.item(id);
  }
}
