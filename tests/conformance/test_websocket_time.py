"""Clients that take too much time are dropped, attached or detached."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import pytest

from itemwire.fastpath.http import HttpProtocol
from tests.conformance.websocket_frames import (
    CONT,
    PING,
    PONG,
    TEXT,
    Answer,
    client_frame,
    read_server_frames,
    text,
)
from tests.conformance.websocket_targets import OURS, Target, ours
from tests.fastpath.served import head, read_all, read_until

Serving = Callable[..., AbstractContextManager[Target]]

BRIEFLY: Final = 0.3  # in place of the seconds that a client really has
STEP: Final = 0.02


class Hasty(HttpProtocol):
    """Our HTTP class, with less time for a handshake."""

    handshake_seconds = BRIEFLY


class Swift(HttpProtocol):
    """The same, with time enough for one that a busy machine makes."""

    handshake_seconds = 1.5


@pytest.fixture(params=list(OURS))
def serve(request: pytest.FixtureRequest) -> Serving:
    """Serve in each of our ways, with limits of the test's own."""
    return OURS[request.param]


def _trickle(client: socket.socket, octet: Callable[[], bytes]) -> bytes:
    """Send a little again and again, until the server has had enough; give what it said."""
    received = bytearray()
    client.settimeout(STEP)
    for _ in range(int(5 / STEP)):
        try:
            data = client.recv(1 << 16)
            received += data
        except TimeoutError:
            client.sendall(octet())
        except ConnectionResetError:
            return bytes(received)
        else:
            if not data:
                return bytes(received)
    raise AssertionError(f"still served; said so far: {bytes(received)[:200]!r}")


@pytest.mark.parametrize("begun", [b"", b"GET", head()[:-2]], ids=["nothing", "a-word", "all-but"])
def test_a_handshake_that_is_not_finished_is_cut(serve: Serving, begun: bytes) -> None:
    """A thousand half-open requests from one machine would otherwise hold all descriptors."""
    with serve(http=Hasty) as target, target.dial(begun) as client:
        answer = read_all(client)

        target.until_empty()
    assert re.match(rb"HTTP/1.1 4\d\d |$", answer)


def test_a_handshake_that_trickles_is_cut(serve: Serving) -> None:
    """The time is for the whole head: an octet now and then does not renew it (slowloris)."""
    with serve(http=Hasty) as target, target.dial(head()[:-2]) as client:
        answer = _trickle(client, lambda: b"X")

    assert re.match(rb"HTTP/1.1 4\d\d |$", answer)


def test_the_time_for_a_handshake_ends_with_it(serve: Serving) -> None:
    """The accepted twin: an open socket outlives one that dawdled since before it came."""
    with serve(http=Swift) as target, target.upgrade() as client:
        with target.dial() as late:
            read_all(late)
        client.sendall(text(b"still here"))

        assert read_until(client, b"still here") == b"\x81\x0astill here"


@pytest.mark.parametrize(
    ("begin", "octet"),
    [
        pytest.param(client_frame(TEXT, b"a", fin=False), b"", id="no-more-fragments"),
        pytest.param(
            client_frame(TEXT, b"a", fin=False), client_frame(CONT, b"a", fin=False), id="fragments"
        ),
        pytest.param(client_frame(TEXT, b"a", fin=False), client_frame(PING), id="pings-between"),
        pytest.param(text(b"*" * 60_000)[:20], b"*", id="octets"),
        pytest.param(text(b"*" * 60_000)[:1], b"", id="half-a-frame-head"),
    ],
)
def test_a_message_that_is_not_finished_is_cut(serve: Serving, begin: bytes, octet: bytes) -> None:
    """What has come of it is kept meanwhile: each such client would hold its largest message."""
    with serve(limits={"message_seconds": BRIEFLY}) as target, target.upgrade() as client:
        client.sendall(begin)
        answer = Answer.of(_trickle(client, lambda: octet))

    assert answer.close in (1008, 1009)


def test_the_time_for_a_message_ends_with_it(serve: Serving) -> None:
    """The accepted twin: who finished in time may be silent for longer than that."""
    begun = client_frame(TEXT, b"a", fin=False)
    with serve(limits={"message_seconds": BRIEFLY}) as target, target.upgrade() as client:
        client.sendall(begun + client_frame(CONT, b"b"))
        with target.upgrade() as late:
            late.sendall(begun)
            read_all(late)
        client.sendall(text(b"still here"))
        answer = read_until(client, b"still here")

    assert answer == b"\x81\x02ab\x81\x0astill here"


def test_a_peer_that_answers_no_ping_is_told_and_cut(serve: Serving) -> None:
    """A phone that left the network says nothing more; its place must not be kept for ever."""
    pings = {"ws_ping_interval": BRIEFLY, "ws_ping_timeout": BRIEFLY}
    with serve(**pings) as target, target.upgrade() as client:
        answer = Answer.of(read_all(client))

        target.until_empty()
    assert answer.close == 1011


def test_a_peer_that_answers_its_pings_stays(serve: Serving) -> None:
    """The twin: anyone who answers is not cut, though it says nothing else."""
    pings = {"ws_ping_interval": BRIEFLY, "ws_ping_timeout": 1.5}
    with serve(**pings) as target, target.upgrade() as client:
        for _ in range(6):
            data = b""
            while not (frames := list(read_server_frames(data))):
                data += client.recv(1)
            client.sendall(client_frame(PONG, frames[0].payload))
        client.sendall(text(b"still here"))

        assert read_until(client, b"still here")


@pytest.mark.parametrize("end", ["reads", "half-closes"])
def test_a_close_that_nobody_answers_ends_in_time(serve: Serving, end: str) -> None:
    """RFC 6455 section 7.1.1 lets a server go when the answer does not come."""
    with serve() as target, target.upgrade() as client:
        client.sendall(client_frame(3))
        read_until(client, b"\x88\x02\x03\xea")
        if end == "half-closes":
            client.shutdown(socket.SHUT_WR)

        target.until_empty()  # while the client's side is still open


def test_a_close_of_the_application_that_nobody_answers_ends_in_time() -> None:
    """The same after a good close frame."""
    with ours() as target, target.upgrade() as client:
        client.sendall(text(b"close 4000 enough"))
        read_until(client, b"enough")

        target.until_empty()
