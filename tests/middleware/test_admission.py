"""Admission: a connection slot for each handshake, released however it ends, on any server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

import pytest
from fastapi import WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from itemwire.channels.limits.connections import ConnectionLimits, ConnectionSlots
from itemwire.channels.sessions.echo import EchoSession
from itemwire.middleware.admission import Admission, claim_slot, hand_over_slot
from itemwire.pacing import AT_ONCE
from tests.fakes import Stage, principal

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def scope_of(host: str | None = "192.0.2.1", kind: str = "websocket") -> dict[str, Any]:
    """Make as much of a scope as is looked at."""
    return {"type": kind, "client": (host, 1) if host else None, "headers": []}


async def nothing() -> Message:
    """Receive nothing that matters."""
    return {"type": "websocket.connect"}


def knock(app: App, scope: Scope) -> list[Message]:
    """Call an application once, and give what it sent."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, nothing, send))  # type: ignore[arg-type] # a coroutine
    return sent


async def ignore(_message: Message) -> None:
    """Send to nobody."""


async def served(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Let everybody in, and leave."""
    await send({"type": "websocket.accept"})


async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Fail before there is an answer."""
    raise LookupError("broken")


def test_requests_over_http_take_turns_as_handshakes_do() -> None:
    """Open sockets waited for 300 of them, half a second each time."""
    went, number = list[str](), 24

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        went.append("request")

    async def flood() -> None:
        admission, loop = (
            Admission(app, ConnectionSlots(ConnectionLimits())),
            asyncio.get_running_loop(),
        )

        def served() -> None:
            went.append("served")
            if went.count("request") < number:
                loop.call_soon(served)

        calls = [admission(scope_of(kind="http"), nothing, ignore) for _ in range(number)]
        loop.call_soon(served)
        await asyncio.gather(*calls)

    asyncio.run(flood())

    runs = [len(list(run)) for one, run in groupby(went) if one == "request"]
    assert runs == [AT_ONCE] * (number // AT_ONCE)


def test_a_handshake_past_the_limit_is_refused_before_anything_is_done() -> None:
    """The application, and with it the token, is not even looked at (requirement 96)."""
    slots, calls = ConnectionSlots(ConnectionLimits(total=1)), list[str]()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        calls.append("called")

    admission = Admission(app, slots)
    slot = slots.acquire(None)

    told = knock(admission, scope_of())

    assert told == [{"type": "websocket.close", "code": 1013, "reason": "overloaded"}]
    assert calls == []
    slot.release()  # type: ignore[union-attr] # it was taken
    knock(admission, scope_of())
    assert calls == ["called"]


def test_an_address_is_told_that_it_has_too_many() -> None:
    """With a reason of its own: others may come in at the same moment."""
    slots = ConnectionSlots(ConnectionLimits(per_address=1))
    admission = Admission(served, slots)
    slots.acquire("192.0.2.1")

    (told,) = knock(admission, scope_of())

    assert (told["code"], told["reason"]) == (1008, "connection_limit")
    assert knock(admission, scope_of("192.0.2.2"))[0]["type"] == "websocket.accept"


def test_requests_that_are_not_sockets_take_no_slot() -> None:
    """They come and go; health must answer when the sockets are full."""
    slots = ConnectionSlots(ConnectionLimits(total=1))
    slots.acquire(None)

    assert knock(Admission(served, slots), scope_of(kind="http"))
    assert slots.refused["all"] == 0


@pytest.mark.parametrize("host", ["192.0.2.1", None])
def test_a_route_that_returns_without_a_session_releases_the_slot(host: str | None) -> None:
    """So do refused handshakes, and routes of an application's own."""
    slots = ConnectionSlots(ConnectionLimits(per_address=5))

    knock(Admission(served, slots), scope_of(host))

    assert (slots.in_use, slots.by_address) == (0, {})


def test_a_route_that_fails_releases_the_slot() -> None:
    """Whatever it failed of is somebody else's affair."""
    slots = ConnectionSlots()

    with pytest.raises(LookupError):
        knock(Admission(failing, slots), scope_of())

    assert slots.in_use == 0


def test_a_route_that_is_cancelled_releases_the_slot() -> None:
    """At shutdown, or when a server gives a handshake up."""
    slots, begun = ConnectionSlots(), asyncio.Event()

    async def waiting(_scope: Scope, _receive: Receive, _send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def cancelled() -> None:
        task = asyncio.create_task(
            Admission(waiting, slots)(scope_of(), nothing, lambda _: asyncio.sleep(0))
        )
        await begun.wait()
        assert slots.in_use == 1
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancelled())

    assert slots.in_use == 0


def test_a_session_keeps_the_slot_when_its_route_has_returned() -> None:
    """On the fast path a route returns at once, and the socket lasts."""
    stage, slots = Stage(), ConnectionSlots(ConnectionLimits(per_subject=1))
    sessions: list[EchoSession] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        connection = HTTPConnection(scope)
        claim_slot(connection, principal("alice"))
        sessions.append(EchoSession(stage.node, stage.connect("alice")[0]))
        hand_over_slot(connection, sessions[-1])

    admission = Admission(app, slots)
    knock(admission, scope_of())
    assert slots.in_use == 1
    with pytest.raises(WebSocketException, match="connection_limit"):
        knock(admission, scope_of())
    assert slots.in_use == 1

    sessions[0].closed(1000)

    assert (slots.in_use, slots.by_subject) == (0, {})
    knock(admission, scope_of())
    assert slots.in_use == 1


def test_routes_work_where_nobody_counts() -> None:
    """An application may mount them without the middleware."""
    connection = HTTPConnection(scope_of())
    session = EchoSession(Stage().node, Stage().connect()[0])

    claim_slot(connection, principal("alice"))
    hand_over_slot(connection, session)

    assert session.slot is None
