"""Frames, clocks and types of the program that do what they should not."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

import pytest

from itemwire.client import AsyncItem, PayloadMismatch
from itemwire.client.sockets import HandshakeDenied, SocketRequest, open_websocket
from tests.client.manual_clock import UNIX, settle
from tests.client.scripted import Stage, data_of, scripted

TYPES = (
    *("welcome", "message", "gap", "ended", "joined", "left", "updated", "count", "error"),
    *("reply", "hello", "pong", "expiring", "direct", "direct_lost"),
)
FIELDS = (
    *("member", "members", "member_count", "epoch", "can", "ref", "data", "encoding"),
    *("expires_at", "server_time", "max_items", "max_message_bytes", "items"),
    *("retry_after_ms", "reason", "resume"),
)
VALUES: tuple[object, ...] = (None, 0, -1, "x", [], {}, [1])


def listen(item: AsyncItem[Any]) -> list[object]:
    """Return the data that an item tells, which grows."""
    heard: list[object] = []
    item.on("message", lambda message: heard.append(message.data))
    return heard


@pytest.mark.parametrize("kind", TYPES)
@scripted
async def test_34_an_envelope_of_any_shape_is_at_most_told(stage: Stage, kind: str) -> None:
    """The connection stays, and the next message is heard."""
    wire = await stage.connected()
    wire.on("direct", lambda _: None)
    for number, (field, value) in enumerate(itertools.product(FIELDS, VALUES)):
        item = wire.item(f"order:{number}")
        heard = listen(item)
        await item.join()
        envelope: dict[str, Any] = {"item": item.id, "encoding": "base64", field: value}
        if kind.startswith("direct"):
            del envelope["item"]
        stage.server.socket.say(kind, **envelope)
        await settle()
        assert (wire.state, len(stage.server.sockets)) == ("connected", 1), (field, value)
        if item.state == "joined":  # and not ended by what has come
            stage.server.publish(item.id, "next")
            await settle()
            assert heard[-1:] == ["next"], (field, value)
        await item.leave()


class Fussy:
    """A type whose own code fails."""

    @classmethod
    def model_validate(cls, value: object) -> object:
        """Take only what has a number."""
        assert isinstance(value, dict)
        return value["number"]


@scripted
async def test_10_a_type_that_raises_anything_stops_no_function(stage: Stage) -> None:
    """It is told as what does not fit, and the next message is heard."""
    wire = await stage.connected()
    item = wire.item("a", type=Fussy)
    heard = listen(item)
    await item.join()
    for data in ("text", {}, {"number": 7}):
        stage.server.publish("a", data)
    await settle()

    assert heard == [7]
    assert [type(one) for one in stage.errors] == [PayloadMismatch] * 2


@pytest.mark.parametrize("data", [5, "YWJ", "ä"])
@scripted
async def test_33_bytes_that_are_none_are_told_and_the_next_are_read(
    stage: Stage, data: object
) -> None:
    """A reader gets them as what does not fit."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.publish("a", data, encoding="base64")
    stage.server.publish("a", "YWJj", encoding="base64")
    with pytest.raises(PayloadMismatch):
        await item.receive()

    assert data_of(await item.receive()) == b"abc"


@scripted
async def test_7_the_servers_advice_is_a_floor_for_whoever_is_woken(stage: Stage) -> None:
    """What the client has drawn beyond it is not waited for."""
    wire = await stage.connected()
    stage.luck = 1.0
    closing = {"code": 1013, "reason": "overloaded", "retry": "later", "retry_after_ms": 4000}
    stage.server.socket.say("closing", **closing)
    stage.server.socket.drop(1013, "overloaded")
    await settle()
    await stage.clock.advance(1.5)
    wire.wake()
    await stage.clock.advance(2.4)
    assert len(stage.server.requests) == 1
    await stage.clock.advance(0.1)

    assert (wire.state, len(stage.server.requests)) == ("connected", 2)


@pytest.mark.parametrize("is_joined", [True, False], ids=["joined", "not joined"])
@scripted
async def test_25_what_is_asked_while_a_socket_closes_waits_for_the_next(
    stage: Stage, is_joined: bool
) -> None:
    """It is asked again after each break, and must not ask a connection that is over for ever."""
    wire = await stage.connected(queue=2)
    item = wire.item("a")
    if is_joined:
        await item.join()
    closed = asyncio.Event()
    vars(stage.server.socket)["close"] = closed.wait
    await stage.break_off()
    calls: list[Coroutine[Any, Any, object]] = [item.publish("x", retry=True), item.history()]
    asked = [asyncio.ensure_future(call) for call in calls]
    await settle()
    assert (wire.state, [one.done() for one in asked]) == ("connected", [False, False])
    closed.set()
    await stage.clock.advance(3)

    assert [one.done() and one.exception() is None for one in asked] == [True, False]
    for one in asked:
        one.cancel()


@pytest.mark.parametrize("hours", [-2, 2])
@scripted
async def test_35_a_token_is_renewed_though_the_clock_was_set(stage: Stage, hours: int) -> None:
    """What `hello` has said of the difference is not true any more."""
    asked: list[object] = []

    async def source() -> str:
        asked.append(None)
        return "t"

    wire = await stage.connected(token=source)
    stage.clock.wrong_by = 3600.0 * hours
    stage.server.socket.say("expiring", expires_at=UNIX + 60)
    await settle()

    assert (wire.state, len(asked)) == ("connected", 2)
    assert len(stage.server.socket.of_type("refresh")) == 1


@pytest.mark.server
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_gives_the_token_to_nobody(status: int) -> None:
    """Browsers follow none either; a proxy that sends one would choose who gets the token."""
    denied, heard = asyncio.run(_redirected(status))

    assert (denied.status, heard) == (status, [])


async def _redirected(status: int) -> tuple[HandshakeDenied, list[bytes]]:
    """Open a socket at a server that names another; return what came, and what that one heard."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        place = f"ws://127.0.0.1:{_port(other)}/ws"
        head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        writer.close()

    async with (
        await asyncio.start_server(listen, "127.0.0.1", 0) as other,
        await asyncio.start_server(redirect, "127.0.0.1", 0) as server,
    ):
        headers = {"Authorization": "Bearer secret"}
        url = f"ws://127.0.0.1:{_port(server)}/ws"
        with pytest.raises(HandshakeDenied) as denied:
            await open_websocket(SocketRequest(url, ["itemwire.v1.json"], headers))
    return denied.value, heard


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
