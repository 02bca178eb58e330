// A WebSocket that tells what travels on it, as it travels; credentials are left out of that.

const TOKEN_OF_REFRESH = /("token":")[^"]*/;
const encoder = new TextEncoder();

/** Return a class of WebSocket that tells `(way, text, bytes)` of each frame, open and close.
 *
 * `takeTicket` gives the ticket to connect with, or nothing.
 */
export function tappedSocket(tell, takeTicket) {
  return class extends WebSocket {
    constructor(address, protocols) {
      const ticket = takeTicket();
      super(ticket ? `${address}&ticket=${encodeURIComponent(ticket)}` : address, protocols);
      const shown = ticket ? `${address}&ticket=…` : address;
      const offered = protocols.map((one) => one.replace(/^(itemwire\.token\.).*/, "$1…"));
      tell("open", `GET ${shown} as ${offered.join(", ")}`);
      this.addEventListener("message", ({ data }) => tell("in", data, encoder.encode(data).length));
      this.addEventListener("close", ({ code, reason }) => tell("close", `closed with ${code} ${reason}`));
    }

    send(frame) {
      const hides = frame.includes('"type":"refresh"');
      tell("out", hides ? frame.replace(TOKEN_OF_REFRESH, "$1…") : frame, encoder.encode(frame).length);
      super.send(frame);
    }
  };
}
