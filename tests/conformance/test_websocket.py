"""Runs the WebSocket cases on our class (attached, detached, with TLS) and on uvicorn's."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from itemwire.fastpath.protocol import WebSocketProtocol
from tests.conformance.websocket_cases import CASES, Case
from tests.conformance.websocket_frames import Answer, close, read_server_frames
from tests.conformance.websocket_targets import TARGETS, Target
from tests.conformance.websocket_utf8 import UTF8_CASES

Cut = Callable[[list[bytes]], list[bytes]]

MANY_OCTETS: Final = 2_000
FAULTS: Final = (1002, 1007, 1009)


def whole(sent: list[bytes]) -> list[bytes]:
    """Send everything at once."""
    return [b"".join(sent)]


def in_pieces(sent: list[bytes]) -> list[bytes]:
    """Send each octet alone; of many, an odd number at a time."""
    data = b"".join(sent)
    size = 1 if len(data) <= MANY_OCTETS else 997
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.fixture(scope="module", params=list(TARGETS))
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """Run each server in turn, with as much patience as a client really has."""
    with TARGETS[request.param](close_seconds=WebSocketProtocol.close_seconds) as target:
        yield target


@pytest.mark.parametrize("cut", [whole, in_pieces])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_what_comes_back(target: Target, case: Case, cut: Cut) -> None:
    """A server that is lenient here is one that a proxy in front of it disagrees with."""
    _check(target, case, cut)


@pytest.mark.parametrize("cut", [whole, in_pieces])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in UTF8_CASES])
def test_what_comes_back_of_text(target: Target, case: Case, cut: Cut) -> None:
    """Text that is not UTF-8 must reach nobody: a browser that gets it drops its socket."""
    _check(target, case, cut)


def _check(target: Target, case: Case, cut: Cut) -> None:
    expected = case.stock if target.stock and case.stock is not None else case.answer
    # uvicorn's class ends a fault with a reset, as TLS does, which cannot half-close; and any class
    # does after its answer to a close.
    may_reset = target.stock or target.tls is not None or expected.close not in FAULTS
    with target.upgrade() as client:
        answer = _converse(client, cut(case.sent), expected, may_reset=may_reset)

    if expected.close is not None and not target.prompt:
        expected = _as_far_as(answer, expected)
    assert answer == expected


def _converse(
    client: socket.socket, pieces: list[bytes], expected: Answer, *, may_reset: bool
) -> Answer:
    """Send the pieces and read to the end, closing first where nothing else ends it."""
    # What OpenSSL makes of a reset depends on how far it had come.
    forgiven = [ConnectionError, ssl.SSLEOFError] if may_reset else []
    with contextlib.suppress(*forgiven):
        for piece in pieces:
            client.sendall(piece)
            os.sched_yield()  # so that the pieces arrive as pieces
    received = bytearray()
    with contextlib.suppress(*forgiven):
        if expected.close is None:
            _read_frames(client, received, len(expected.messages) + len(expected.pongs))
            client.sendall(close(1000))
        while data := client.recv(1 << 16):
            received += data
    answer = Answer.of(bytes(received))
    if expected.close is None:
        assert answer.close == 1000
        return Answer(answer.messages, answer.pongs)
    return answer


def _read_frames(client: socket.socket, received: bytearray, count: int) -> None:
    while len(list(read_server_frames(bytes(received)))) < count:
        data = client.recv(1 << 20)
        if not data:
            return
        received += data


def _as_far_as(answer: Answer, expected: Answer) -> Answer:
    """Allow that what came ahead of the end is not answered: an ASGI application runs beside it."""
    messages = expected.messages[: len(answer.messages)]
    return Answer(messages, expected.pongs[: len(answer.pongs)], expected.close)
