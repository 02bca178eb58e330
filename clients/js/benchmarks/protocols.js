// What a server says in each protocol: how it lets a client in, and how it delivers a message.

const sentAt = 1_790_000_000.125;
const data = (number) => ({ status: "shipped", number, place: "Rotterdam", note: "left the port" });

/**
 * `begin` is said at once, `answer` to a frame of the client; after one that `starts`, messages
 * follow.
 */
export const PROTOCOLS = {
  itemwire: {
    begin: [{ type: "hello", connection: "c1", subject: "ann", expires_at: null, max_items: 100 }],
    answer({ type, ref }) {
      if (type === "ping") return { type: "pong" };
      const place = { item: "bench", epoch: "e1", offset: 0, resume: "e1.proof" };
      return { type: "welcome", ref, ...place, can: ["subscribe"], was_recovering: false, recovered: false };
    },
    starts: ({ type }) => type === "join",
    message: (number) => ({
      type: "message", item: "bench", offset: number, sender: "bob", sent_at: sentAt, data: data(number),
    }),
  },
  centrifuge: {
    begin: [],
    answer({ id, connect }) {
      if (connect) return { id, connect: { client: "c1", version: "6.0.0", ping: 25, pong: true } };
      return { id, subscribe: { recoverable: true, positioned: true, epoch: "e1", offset: 0 } };
    },
    starts: ({ subscribe }) => subscribe,
    message: (number) => ({
      push: {
        channel: "bench",
        pub: { data: data(number), info: { user: "bob", client: "c2" }, offset: number },
      },
    }),
  },
  "socket.io": {
    begin: [`0${JSON.stringify({ sid: "s1", upgrades: [], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 1e6 })}`],
    answer: () => '40{"sid":"s2"}',
    starts: () => true,
    message: (number) => `42${JSON.stringify(["message", { sender: "bob", sent_at: sentAt, data: data(number) }])}`,
  },
};
PROTOCOLS.none = { ...PROTOCOLS.itemwire, answer: () => undefined, starts: () => true };

/** Write a frame: text as it is, anything else as JSON. */
export const encode = (frame) => (typeof frame === "string" ? frame : JSON.stringify(frame));

/** Read what a client says, whatever it is. */
export function decode(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
