// MessagePack, byte for byte as its specification has it, and as the client uses it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { msgpack } from "../msgpack.js";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));

for (const [value, written] of [
  [null, "c0"], [false, "c2"], [true, "c3"],
  [0, "00"], [127, "7f"], [128, "cc80"], [255, "ccff"], [256, "cd0100"], [65_536, "ce00010000"],
  [2 ** 32, "cf0000000100000000"], [Number.MAX_SAFE_INTEGER, "cf001fffffffffffff"],
  [-1, "ff"], [-32, "e0"], [-33, "d0df"], [-129, "d1ff7f"], [-32_769, "d2ffff7fff"],
  [-(2 ** 31) - 1, "d3ffffffff7fffffff"],
  [1.5, "cb3ff8000000000000"], [2 ** 53, "cb4340000000000000"],
  ["", "a0"], ["é", "a2c3a9"], ["x".repeat(32), `d920${"78".repeat(32)}`],
  [[], "90"], [[1, [2]], "92019102"], [{}, "80"], [{ a: 1 }, "81a16101"],
  [Uint8Array.of(0, 255), "c40200ff"],
]) {
  test(`${JSON.stringify(value).slice(0, 30)} is ${written.slice(0, 20)}`, () => {
    assert.equal(hex(msgpack.encode(value)), written);
    assert.deepEqual(msgpack.decode(bytes(written).buffer), value);
  });
}

test("what is long comes back as it was", () => {
  const many = Object.fromEntries(Array.from({ length: 70_000 }, (_, at) => [`name ${at}`, at]));
  for (const value of [
    "é".repeat(200), "x".repeat(70_000), Array(20).fill("y"), Array(70_000).fill(-5), many,
    new Uint8Array(300).fill(7), new Uint8Array(70_000).fill(8), { deep: [[[[{ a: [null, 1.25] }]]]] },
  ]) {
    assert.deepEqual(msgpack.decode(msgpack.encode(value)), value);
  }
});

test("what is undefined is left out, and dates are text, as in JSON", () => {
  const at = new Date(0);

  assert.deepEqual(msgpack.decode(msgpack.encode({ a: undefined, at, list: [undefined] })), {
    at: at.toJSON(), list: [null],
  });
});

test("buffers and views are bytes, and what is read is no window into the frame", () => {
  const view = new DataView(Uint8Array.of(1, 2, 3).buffer, 1);
  assert.deepEqual(msgpack.decode(msgpack.encode(view)), Uint8Array.of(2, 3));
  assert.deepEqual(msgpack.decode(msgpack.encode(Uint8Array.of(4).buffer)), Uint8Array.of(4));
  const read = msgpack.decode(msgpack.encode(Uint8Array.of(5)));

  assert.equal(read.buffer.byteLength, 1);
});

test("numbers that no payload holds, extension types and cut frames are refused", () => {
  for (const value of [NaN, Infinity]) assert.throws(() => msgpack.encode(value), TypeError);
  for (const written of ["c1", "d4000000", "c7010000", "d6ff00000000"]) {
    assert.throws(() => msgpack.decode(bytes(written).buffer), TypeError, written);
  }
  for (const written of ["", "a5", "92", "cb00", "c6ffffffff", "ddffffffff"]) {
    assert.throws(() => msgpack.decode(bytes(written).buffer), RangeError, written);
  }
});

test("payloads that only JSON carries are read", () => {
  const stored = { data: "[1]", encoding: "json" };
  const read = msgpack.decode(msgpack.encode({ ...stored, messages: [stored] }));

  assert.deepEqual([read.data, read.messages[0].data], [[1], [1]]);
});

test("a name that is special in JavaScript is a name", () => {
  const value = JSON.parse('{"__proto__": {"x": 1}}');

  assert.deepEqual(Object.keys(msgpack.decode(msgpack.encode(value))), ["__proto__"]);
  assert.equal({}.x, undefined);
});
