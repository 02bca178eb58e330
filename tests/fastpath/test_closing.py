"""A socket ends in bounded time and with a reason, even if the peer does not read."""

from __future__ import annotations

import queue
import socket
from typing import Any

import pytest
from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import Opcode

from tests.fastpath.served import (
    close_frame,
    dial,
    frame,
    head,
    read_all,
    read_until,
    serving,
    upgrade,
)

pytestmark = pytest.mark.server

PING_BYTES = 6


def _pings(interval: float, timeout: float) -> dict[str, Any]:
    return {"ws_ping_interval": interval, "ws_ping_timeout": timeout}


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """Name each event loop: their transports differ in what closing means."""
    return str(request.param)


@pytest.mark.parametrize("path", ["/return", "/shed"])
def test_a_stuck_peer_is_cut_when_its_time_is_up(loop: str, path: str) -> None:
    """A transport's own close waits for the peer to read, which a stranger may never do."""
    with serving(loop=loop) as site, upgrade(site, path):
        assert site.events.get(timeout=60) == "full"

        site.lost.get(timeout=60)


def test_a_stuck_peer_that_ended_its_own_side_is_cut(loop: str) -> None:
    """At the end of input the transport closes by itself, and would wait for ever too."""
    with serving(loop=loop) as site, upgrade(site, "/hold") as client:
        assert site.events.get(timeout=60) == "full"
        client.shutdown(socket.SHUT_WR)

        site.lost.get(timeout=60)


def test_a_slow_peer_is_told_why_if_it_reads_again(loop: str) -> None:
    """The close frame does not wait for blocked senders, which learn that the peer is gone."""
    with serving(loop=loop, close_seconds=30.0) as site, upgrade(site, "/shed") as client:
        assert site.events.get(timeout=60) == "full"
        waited = site.events.get(timeout=60)
        client.sendall(frame(Opcode.CLOSE, b"\x03\xf0"))
        received = read_all(client)

    assert isinstance(waited, ClientDisconnected)
    assert received.endswith(close_frame(1008, "slow_consumer"))


def test_a_peer_that_neither_reads_nor_answers_pings_is_cut_at_once(loop: str) -> None:
    """It would not read the close frame either, so waiting has no use."""
    pings = _pings(0.5, 3.0)
    with serving(loop=loop, close_seconds=60.0, **pings) as site, upgrade(site, "/hold"):
        assert site.events.get(timeout=60) == "full"

        site.lost.get(timeout=60)


def test_a_slow_peer_being_closed_is_not_cut_for_a_missing_pong(loop: str) -> None:
    """The close has a deadline of its own; until then the peer may still read the reason."""
    pings = _pings(0.05, 3.0)
    with serving(loop=loop, close_seconds=30.0, **pings) as site, upgrade(site, "/shed") as client:
        assert site.events.get(timeout=60) == "full"
        site.events.get(timeout=60)
        with pytest.raises(queue.Empty):
            site.lost.get(timeout=3.5)  # longer than the pong had
        client.sendall(frame(Opcode.CLOSE, b"\x03\xf0"))
        received = read_all(client)

    assert received.endswith(close_frame(1008, "slow_consumer"))


def test_a_peer_that_reads_without_answering_pings_gets_a_close_frame(loop: str) -> None:
    """With a reason of the registry."""
    pings = _pings(0.1, 0.1)
    with serving(loop=loop, **pings) as site, upgrade(site) as client:
        received = read_all(client)

    assert received.endswith(close_frame(1011, "ping_timeout"))


def test_a_peer_that_answers_pings_stays(loop: str) -> None:
    """The twin of the two above: three pings later the socket still echoes."""
    pings = _pings(0.1, 5.0)
    with serving(loop=loop, **pings) as site, upgrade(site) as client:
        for _ in range(3):
            ping = client.recv(PING_BYTES, socket.MSG_WAITALL)
            client.sendall(frame(Opcode.PONG, ping[2:]))
        client.sendall(frame(Opcode.TEXT, b"here"))
        echo = read_until(client, b"here")

    assert echo.endswith(b"\x81\x04here")


def test_says_draining_at_shutdown(loop: str) -> None:
    """The reason tells clients to come back, perhaps to another server."""
    with serving(loop=loop) as site, upgrade(site) as client:
        site.server.should_exit = True
        answer = read_all(client)

    assert answer == close_frame(1012, "draining")


def test_a_peer_that_closed_first_does_not_stop_the_drain(loop: str) -> None:
    """A stuck peer's own close made uvicorn raise InvalidState and forget all other sockets."""
    with serving(loop=loop, close_seconds=2.0) as site, upgrade(site, "/hold") as stuck:
        assert site.events.get(timeout=60) == "full"
        stuck.sendall(frame(Opcode.CLOSE, b"\x03\xe8"))
        assert site.events.get(timeout=60) == "done"
        with upgrade(site) as client:
            site.server.should_exit = True
            answer = read_all(client)

    assert answer == close_frame(1012, "draining")


def test_a_handshake_under_way_at_shutdown_ends_with_the_others(loop: str) -> None:
    """A denial would be 1006 to a browser, which then knows nothing (requirement 107)."""
    with serving(loop=loop) as site, dial(site, head("/slow")) as client:
        assert site.events.get(timeout=60) == "asked"
        with upgrade(site) as other:
            site.server.should_exit = True
            read_all(other)  # the server has begun to stop
        site.proceed.set()
        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(close_frame(1012, "draining"))


def test_a_handshake_that_is_never_decided_on_is_denied_at_shutdown(loop: str) -> None:
    """A server that has no limit of its own would wait for it for ever."""
    with serving(loop=loop) as site, dial(site, head("/slow")) as client:
        assert site.events.get(timeout=60) == "asked"
        site.server.should_exit = True
        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 500 ")


def test_who_talks_while_being_closed_at_shutdown_gets_the_reason(loop: str) -> None:
    """To close with input unread would be a reset, which overtakes the close frame."""
    with serving(loop=loop, close_seconds=30.0) as site, upgrade(site) as client:
        client.sendall(frame(Opcode.TEXT, b"close 4000 enough"))
        assert site.events.get(timeout=60) == (4000, "enough")
        site.server.should_exit = True
        while site.server.servers[0].is_serving():
            client.sendall(frame(Opcode.BINARY, bytes(60_000)))
        for _ in range(100):  # a reset would make it fail
            client.sendall(frame(Opcode.BINARY, bytes(60_000)))
        received = read_all(client)

    assert received == close_frame(4000, "enough")
