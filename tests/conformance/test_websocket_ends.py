"""How sockets end: the last frames, and that no timer or task is left."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.conformance.websocket_cases import BAD_CODES, CODES, PRIVATE_CODES
from tests.conformance.websocket_frames import (
    CLOSE,
    TEXT,
    Answer,
    client_frame,
    close,
    read_server_frames,
    text,
)
from tests.conformance.websocket_targets import OURS, Target, ours, wait_until
from tests.fastpath.served import head, read_all, read_until

Serving = Callable[..., AbstractContextManager[Target]]


@pytest.fixture(params=list(OURS))
def serve(request: pytest.FixtureRequest) -> Serving:
    """Serve in each of our ways, with limits of the test's own."""
    return OURS[request.param]


def _leave(client: socket.socket) -> bytes:
    """Read until the server says goodbye, say so too, and give all it said."""
    said = b""
    while not any(frame.opcode == CLOSE for frame in read_server_frames(said)):
        data = client.recv(1 << 16)
        if not data:
            return said
        said += data
    client.sendall(close(1000))
    return said + read_all(client)


@pytest.mark.parametrize("code", [*BAD_CODES, 70_000])
def test_no_code_is_sent_that_must_not_be(code: int) -> None:
    """An application's mistake must not become a protocol error of ours (section 7.4.1)."""
    with ours() as target, target.upgrade() as client:
        client.sendall(text(b"close %d because" % code))
        answer = Answer.of(_leave(client))

    assert answer.close in (*CODES, *PRIVATE_CODES, None)


@pytest.mark.parametrize("reason", ["é" * 61 + "a", "é" * 62, "x" * 500], ids=["123", "124", "500"])
def test_a_reason_fits_into_its_frame(reason: str) -> None:
    """A control frame has 125 bytes; a longer reason is cut between characters, or left out."""
    with ours() as target, target.upgrade() as client:
        client.sendall(text(f"close 4000 {reason}".encode()))
        (end,) = read_server_frames(_leave(client))
        said = end.payload[2:].decode()

    assert end.payload[:2] in ((4000).to_bytes(2, "big"), (1011).to_bytes(2, "big"))
    assert reason.startswith(said)


@pytest.mark.parametrize(
    "early", [close(1000), text(b"hello") + close(1000)], ids=["close", "text"]
)
def test_a_refused_client_that_spoke_first_is_let_go(early: bytes) -> None:
    """What it said before it was answered holds its close, which must not wait for the deadline."""
    request = head("/ws/echo?token=x") + early
    with OURS["detached"](close_seconds=60.0) as target, target.dial(request) as client:
        answer = read_all(client)

    assert answer.endswith(b"\x03\xf0credentials_invalid")


def test_open_sockets_hear_that_the_server_goes(serve: Serving) -> None:
    """1012 tells clients to come back, perhaps to another server."""
    with serve() as target, target.upgrade() as client, target.upgrade() as halfway:
        halfway.sendall(client_frame(TEXT, b"a", fin=False))
        target.server.should_exit = True
        answers = [Answer.of(_leave(one)) for one in (client, halfway)]

    assert [answer.close for answer in answers] == [1012, 1012]


@pytest.fixture(scope="module")
def open_target() -> Iterator[Target]:
    """Run Itemwire's echo for tests that look at what an open socket costs."""
    with OURS["detached"]() as target:
        yield target


def test_a_detached_socket_has_no_task(open_target: Target) -> None:
    """The route has returned: no task, scope or queue is kept for as long as the socket is open."""
    state = open_target.server.server_state
    with open_target.upgrade() as client:
        client.sendall(text(b"hello"))
        read_until(client, b"hello")

        wait_until(lambda: not state.tasks)
        assert len(state.connections) == 1
        client.sendall(text(b"again"))
        assert read_until(client, b"again")
