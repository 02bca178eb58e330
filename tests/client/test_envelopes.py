"""What clients read and write: behaviours 32 to 34, and payloads as types."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from itemwire.client import PayloadMismatch
from itemwire.client.envelopes import EnvelopeForm, Incoming, JsonForm, MessagePackForm, form_of
from itemwire.client.payload_types import payload_reader
from itemwire.client.received import message_of
from tests.client.scripted import Stage, data_of, scripted

JSON = JsonForm()


def message(data: str) -> str:
    """A message with this JSON as its payload."""
    return '{"type":"message","item":"a","offset":3,"sender":"x","sent_at":1.0,"data":' + data + "}"


@scripted
async def test_34_what_is_not_known_is_left_out(stage: Stage) -> None:
    """A server of a later version says more."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    socket = stage.server.socket
    socket.say("weather", item="a", data="rain")
    socket.say("reply", ref=99999)
    socket.say("error", ref=99999, code="a_word_of_tomorrow", temporary=False, detail="")
    socket.say("message", item="elsewhere", offset=1, sender=None, sent_at=0.0, data=1)
    socket.say(
        "message", item="a", offset=1, sender="x", sent_at=1.0, data=1, colour="red", size=[{}]
    )

    assert data_of(await item.receive()) == 1
    assert (stage.errors, wire.state) == ([], "connected")


@pytest.mark.parametrize(
    ("frame", "value"),
    [
        pytest.param(message("9" * 5000), "9" * 5000, id="digits"),
        pytest.param(message("1e999"), "1e999", id="infinite"),
        pytest.param(message("[" * 9000 + "]" * 9000), "[" * 9000 + "]" * 9000, id="deep"),
        pytest.param(message('"AP8="')[:-1] + ',"encoding":"base64"}', b"\x00\xff", id="binary"),
        pytest.param(message('{"a":[1,null]}'), {"a": [1, None]}, id="json"),
    ],
)
def test_33_every_stored_payload_is_read(frame: str, value: object) -> None:
    """One that no parser reads, stored by a server of an earlier version, is its JSON text."""
    incoming = JSON.read(frame)

    assert (incoming.offset, JSON.value(incoming.data, incoming.encoding)) == (3, value)


@pytest.mark.parametrize("frame", ["", "[]", '"x"', "[" * 9000, '{"type":"message"'])
def test_a_frame_that_is_no_envelope_raises_value_error(frame: str) -> None:
    """The one error that the connection lives on with."""
    with pytest.raises(ValueError):  # noqa: PT011 - any of them
        JSON.read(frame)


def test_messagepack_carries_bytes_without_base64() -> None:
    """Both ways."""
    form = form_of("itemwire.v1.msgpack")
    sent = form.write({"type": "publish", "data": b"\x00\xff"})
    told = msgspec.msgpack.encode(
        {"type": "message", "item": "a", "offset": 1, "data": {"n": 1}, "later": [None]}
    )
    incoming = form.read(told)

    assert isinstance(form, MessagePackForm)
    assert isinstance(sent, bytes)
    assert msgspec.msgpack.decode(sent)["data"] == b"\x00\xff"
    assert form.value(incoming.data, None) == {"n": 1}
    with pytest.raises(ValueError, match="text frame"):
        form.read("{}")
    with pytest.raises(ValueError, match="too deeply"):
        form.read(b"\x81\xa4data" + b"\x91" * 9000 + b"\x00")


@scripted
async def test_offers_messagepack_first_and_json_behind_it(stage: Stage) -> None:
    """A server that has only JSON is understood as well."""
    wire = await stage.connected(codec="msgpack")
    await wire.item("a").join()

    assert stage.server.requests[0].subprotocols == ["itemwire.v1.msgpack", "itemwire.v1.json"]
    with pytest.raises(ValueError, match="codec must be one of json, msgpack"):
        stage.client(codec="xml")


class Order(msgspec.Struct):
    """A payload as msgspec knows it."""

    number: int
    tags: set[str] = set()


class OrderModel(BaseModel):
    """A payload as pydantic knows it."""

    number: int
    tags: set[str] = set()


@dataclass
class OrderData:
    """A payload as Python knows it."""

    number: int
    tags: set[str]


@pytest.mark.parametrize("kind", [Order, OrderModel, OrderData])
@scripted
async def test_payloads_are_read_as_a_type(stage: Stage, kind: type[Any]) -> None:
    """And written: a model is published as it is."""
    wire = await stage.connected()
    item = wire.item("a", type=kind)
    await item.join()
    order = kind(number=7, tags={"new"})
    await item.publish(order)
    sent = stage.server.socket.of_type("publish")[0]["data"]
    heard = await item.receive()

    assert json.loads(json.dumps(sent)) == {"number": 7, "tags": ["new"]}
    assert data_of(heard) == order


@pytest.mark.parametrize("kind", [Order, OrderModel])
@scripted
async def test_a_payload_that_does_not_fit_is_told_and_the_next_one_read(
    stage: Stage, kind: type[Any]
) -> None:
    """One publisher with an old version must not stop a reader for good."""
    wire = await stage.connected()
    item = wire.item("a", type=kind)
    await item.join()
    stage.server.publish("a", {"number": "seven"})
    stage.server.publish("a", {"number": 8})
    with pytest.raises(PayloadMismatch, match="message 1 of a: ") as mismatch:
        await item.receive()

    assert mismatch.value.message.data == {"number": "seven"}
    assert item.position == "e1:1"
    assert data_of(await item.receive()).number == 8


@scripted
async def test_functions_are_not_given_what_does_not_fit(stage: Stage) -> None:
    """The log has it, and `error` tells the program."""
    wire = await stage.connected()
    item = wire.item("a", type=Order)
    heard: list[int] = []
    item.on("message", lambda message: heard.append(message.data.number))
    await item.join()
    stage.server.publish("a", "nonsense")
    stage.server.publish("a", {"number": 8})
    await asyncio.sleep(0)
    await stage.clock.advance(0)

    assert heard == [8]
    assert [type(one) for one in stage.errors] == [PayloadMismatch]


@pytest.mark.parametrize("form", [JsonForm(), MessagePackForm()])
def test_types_are_read_alike_in_both_forms(form: EnvelopeForm) -> None:
    """What is no JSON type, such as a set, is made of one."""
    written = form.write({"type": "message", "data": {"number": 1, "tags": ["x"]}})
    incoming: Incoming = form.read(written)

    read = message_of(incoming, form, payload_reader(Order))

    assert read.data == Order(1, {"x"})
