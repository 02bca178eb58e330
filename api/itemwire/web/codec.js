// Envelopes that keep the digits of numbers which JavaScript would round.

/** A payload as JSON text, to be sent as it is. */
export class JsonText {
  constructor(text) {
    this.text = text;
  }
}

/** The JSON codec of the client, exact. */
export const EXACT_JSON = {
  protocol: "itemwire.v1.json",

  encode({ data, ...envelope }) {
    if (!(data instanceof JsonText)) return JSON.stringify({ ...envelope, data });
    return `${JSON.stringify(envelope).slice(0, -1)},"data":${data.text}}`;
  },

  decode(frame) {
    return JSON.parse(frame, exactNumber);
  },
};

/** Keep the digits of numbers that JavaScript would round, if the browser supports it. */
function exactNumber(key, value, context) {
  const rounded = typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER;
  return rounded && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
}
