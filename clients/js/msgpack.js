// MessagePack for the client: bytes travel as they are, and frames are smaller than as JSON.
//
// `new ItemwireClient({ url, token, codec: msgpack })`. It holds what the wire's envelopes may hold,
// and no extension types.

/** @import { Codec } from "./types.js" */

const TEXT = /* @__PURE__ */ new TextEncoder();
const UTF8 = /* @__PURE__ */ new TextDecoder();

/** @type {Codec} */
export const msgpack = {
  protocol: "itemwire.v1.msgpack",
  encode: (envelope) => new Writer().write(envelope).done(),
  decode: (frame) => readable(new Reader(new Uint8Array(frame)).read()),
};

/**
 * Read payloads that only JSON text can carry: a server may have stored them long ago.
 * @param {any} envelope
 */
function readable(envelope) {
  for (const message of [envelope, ...(envelope?.messages ?? [])]) {
    if (message?.encoding === "json") message.data = JSON.parse(message.data);
  }
  return envelope;
}

/** Writes one value into a buffer that grows. */
class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  done() {
    return this.#bytes.subarray(0, this.#at);
  }

  /**
   * @param {any} value
   * @returns {this}
   */
  write(value) {
    if (value === null || value === undefined) this.#byte(0xc0);
    else if (typeof value === "boolean") this.#byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "string") this.#text(value);
    else if (value instanceof ArrayBuffer) this.#binary(new Uint8Array(value));
    else if (ArrayBuffer.isView(value)) {
      this.#binary(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    } else if (Array.isArray(value)) this.#array(value);
    else if (typeof value.toJSON === "function") this.write(value.toJSON());
    else this.#map(value);
    return this;
  }

  /** @param {number} value */
  #number(value) {
    if (!Number.isFinite(value)) throw new TypeError(`a payload cannot hold ${value}`);
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) this.#float(value);
    else if (value >= 0) this.#positive(value);
    else this.#negative(value);
  }

  /** @param {number} value */
  #positive(value) {
    if (value < 0x80) this.#byte(value);
    else if (value <= 0xff) this.#byte(0xcc).#byte(value);
    else if (value <= 0xffff) this.#byte(0xcd).#put(2, (at) => this.#view.setUint16(at, value));
    else if (value <= 0xffffffff) this.#byte(0xce).#put(4, (at) => this.#view.setUint32(at, value));
    else this.#byte(0xcf).#put(8, (at) => this.#view.setBigUint64(at, BigInt(value)));
  }

  /** @param {number} value */
  #negative(value) {
    if (value >= -32) this.#byte(value + 0x100);
    else if (value >= -0x80) this.#byte(0xd0).#byte(value + 0x100);
    else if (value >= -0x8000) this.#byte(0xd1).#put(2, (at) => this.#view.setInt16(at, value));
    else if (value >= -0x80000000) this.#byte(0xd2).#put(4, (at) => this.#view.setInt32(at, value));
    else this.#byte(0xd3).#put(8, (at) => this.#view.setBigInt64(at, BigInt(value)));
  }

  /** @param {number} value */
  #float(value) {
    this.#byte(0xcb).#put(8, (at) => this.#view.setFloat64(at, value));
  }

  /** @param {string} value */
  #text(value) {
    const bytes = TEXT.encode(value);
    if (bytes.length < 32) this.#byte(0xa0 | bytes.length);
    else this.#length(bytes.length, 0xd9, 0xda, 0xdb);
    this.#copy(bytes);
  }

  /** @param {Uint8Array} bytes */
  #binary(bytes) {
    this.#length(bytes.length, 0xc4, 0xc5, 0xc6);
    this.#copy(bytes);
  }

  /** @param {any[]} values */
  #array(values) {
    if (values.length < 16) this.#byte(0x90 | values.length);
    else this.#length(values.length, 0, 0xdc, 0xdd);
    for (const value of values) this.write(value);
  }

  /** @param {Record<string, any>} value */
  #map(value) {
    const entries = Object.entries(value).filter(([, held]) => held !== undefined); // as JSON does
    if (entries.length < 16) this.#byte(0x80 | entries.length);
    else this.#length(entries.length, 0, 0xde, 0xdf);
    for (const [name, held] of entries) {
      this.#text(name);
      this.write(held);
    }
  }

  /**
   * Write a length behind the mark for its size; without a mark for one byte, two are used.
   * @param {number} length
   * @param {number} short
   * @param {number} middle
   * @param {number} long
   */
  #length(length, short, middle, long) {
    if (short && length <= 0xff) this.#byte(short).#byte(length);
    else if (length <= 0xffff) this.#byte(middle).#put(2, (at) => this.#view.setUint16(at, length));
    else this.#byte(long).#put(4, (at) => this.#view.setUint32(at, length));
  }

  /** @param {number} value */
  #byte(value) {
    return this.#put(1, (at) => this.#view.setUint8(at, value));
  }

  /** @param {Uint8Array} bytes */
  #copy(bytes) {
    this.#put(bytes.length, (at) => this.#bytes.set(bytes, at));
  }

  /**
   * @param {number} size
   * @param {(at: number) => void} write
   * @returns {this}
   */
  #put(size, write) {
    const end = this.#at + size;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    write(this.#at);
    this.#at = end;
    return this;
  }
}

/** Reads one value. */
class Reader {
  #bytes;
  #view;
  #at = 0;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** @returns {any} */
  read() {
    const mark = this.#view.getUint8(this.#take(1));
    if (mark < 0x80) return mark;
    if (mark < 0x90) return this.#map(mark & 0x0f);
    if (mark < 0xa0) return this.#array(mark & 0x0f);
    if (mark < 0xc0) return this.#text(mark & 0x1f);
    if (mark >= 0xe0) return mark - 0x100;
    const read = READERS[mark];
    if (!read) throw new TypeError(`no MessagePack of an envelope: ${mark}`);
    return read(this);
  }

  /**
   * @param {"getUint8" | "getUint16" | "getUint32" | "getInt8" | "getInt16" | "getInt32" | "getFloat32"
   *   | "getFloat64" | "getBigUint64" | "getBigInt64"} kind
   * @param {number} size
   */
  #fixed(kind, size) {
    return Number(this.#view[kind](this.#take(size)));
  }

  /** @param {number} length */
  #binary(length) {
    const at = this.#take(length);
    return this.#bytes.slice(at, at + length);
  }

  /** @param {number} length */
  #text(length) {
    const at = this.#take(length);
    return UTF8.decode(this.#bytes.subarray(at, at + length));
  }

  /** @param {number} length */
  #array(length) {
    return Array.from({ length }, () => this.read());
  }

  /** @param {number} length */
  #map(length) {
    return Object.fromEntries(Array.from({ length }, () => [this.read(), this.read()]));
  }

  /** @param {number} size */
  #take(size) {
    const at = this.#at;
    this.#at += size;
    if (this.#at > this.#bytes.length) throw new RangeError("the frame is cut short");
    return at;
  }

  /** What follows each mark that is not a value itself. @type {Record<number, (reader: Reader) => any>} */
  static table = {
    0xc0: () => null,
    0xc2: () => false,
    0xc3: () => true,
    0xc4: (reader) => reader.#binary(reader.#fixed("getUint8", 1)),
    0xc5: (reader) => reader.#binary(reader.#fixed("getUint16", 2)),
    0xc6: (reader) => reader.#binary(reader.#fixed("getUint32", 4)),
    0xca: (reader) => reader.#fixed("getFloat32", 4),
    0xcb: (reader) => reader.#fixed("getFloat64", 8),
    0xcc: (reader) => reader.#fixed("getUint8", 1),
    0xcd: (reader) => reader.#fixed("getUint16", 2),
    0xce: (reader) => reader.#fixed("getUint32", 4),
    0xcf: (reader) => reader.#fixed("getBigUint64", 8),
    0xd0: (reader) => reader.#fixed("getInt8", 1),
    0xd1: (reader) => reader.#fixed("getInt16", 2),
    0xd2: (reader) => reader.#fixed("getInt32", 4),
    0xd3: (reader) => reader.#fixed("getBigInt64", 8),
    0xd9: (reader) => reader.#text(reader.#fixed("getUint8", 1)),
    0xda: (reader) => reader.#text(reader.#fixed("getUint16", 2)),
    0xdb: (reader) => reader.#text(reader.#fixed("getUint32", 4)),
    0xdc: (reader) => reader.#array(reader.#fixed("getUint16", 2)),
    0xdd: (reader) => reader.#array(reader.#fixed("getUint32", 4)),
    0xde: (reader) => reader.#map(reader.#fixed("getUint16", 2)),
    0xdf: (reader) => reader.#map(reader.#fixed("getUint32", 4)),
  };
}

const READERS = Reader.table;
