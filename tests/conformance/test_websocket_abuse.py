"""Clients that make the server use too much memory are dropped, attached or detached."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import pytest

from tests.conformance.websocket_cases import MAX_MESSAGE_BYTES
from tests.conformance.websocket_frames import BINARY, CONT, PING, TEXT, Answer, client_frame, text
from tests.conformance.websocket_targets import OURS, Target
from tests.fastpath.served import head, read_all, read_until

Serving = Callable[..., AbstractContextManager[Target]]

BOMB_BYTES: Final = 64 << 20
FLOOD_BYTES: Final = 16 << 20


@pytest.fixture(params=list(OURS))
def serve(request: pytest.FixtureRequest) -> Serving:
    """Serve in each of our ways, with limits of the test's own."""
    return OURS[request.param]


@pytest.mark.parametrize("payload", [b"", b"a"], ids=["empty", "of-one-octet"])
def test_a_message_of_too_many_fragments_is_cut(serve: Serving, payload: bytes) -> None:
    """Empty ones have no bytes that a size limit would count, and each costs as much work."""
    with serve() as target, target.upgrade() as client:
        client.sendall(client_frame(TEXT, fin=False))
        client.sendall(client_frame(CONT, payload, fin=False) * 20_000)
        answer = Answer.of(read_all(client))

    assert answer.close in (1008, 1009)


def _bomb(*, fragments: int) -> bytes:
    """Compress zeros into fragments that are each no larger than a message may be."""
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(bytes(BOMB_BYTES)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    data = data.removesuffix(b"\x00\x00\xff\xff")[: MAX_MESSAGE_BYTES - 1_000]
    size = len(data) // fragments + 1
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(
        client_frame(CONT if n else BINARY, part, rsv=0 if n else 4, fin=n == len(parts) - 1)
        for n, part in enumerate(parts)
    )


@pytest.mark.parametrize("fragments", [1, 10])
def test_a_bomb_does_not_go_off(serve: Serving, fragments: int) -> None:
    """64 KiB of compressed zeros are 64 MiB: the limit is on what it would become."""
    bomb = _bomb(fragments=fragments)
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    with serve(ws_per_message_deflate=True) as target, target.upgrade(offer) as client:
        tracemalloc.start()
        client.sendall(bomb)
        answer = Answer.of(read_all(client))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert answer.close == 1009
    assert peak < 16 * MAX_MESSAGE_BYTES


def test_compression_is_the_servers_choice(serve: Serving) -> None:
    """Off, an offer is not taken, and a compressed frame is a protocol error."""
    with (
        serve(ws_per_message_deflate=False) as target,
        target.dial(head(target.path, "Sec-WebSocket-Extensions: permessage-deflate")) as client,
    ):
        answer = read_until(client, b"\r\n\r\n", at_once=1)
        client.sendall(_bomb(fragments=1))
        end = Answer.of(read_all(client))

    assert b"extensions" not in answer.lower()
    assert end.close == 1002


def test_unread_pongs_do_not_pile_up(serve: Serving) -> None:
    """A client that pings and never reads: 180 MiB in six seconds, measured on uvicorn's class."""
    chunk = client_frame(PING, b"p" * 125) * 4_000
    largest = 0
    with serve(close_seconds=30.0) as target, target.upgrade() as client:
        client.settimeout(1)
        (transport,) = target.transports
        try:
            for _ in range(FLOOD_BYTES // len(chunk)):
                client.sendall(chunk)
                largest = max(largest, transport.get_write_buffer_size())
        except TimeoutError:  # a server may as well stop to read
            largest = max(largest, transport.get_write_buffer_size())

    assert largest < 4 * MAX_MESSAGE_BYTES


def test_echoes_that_nobody_reads_do_not_pile_up(serve: Serving) -> None:
    """The same with messages: who does not read is not read from, or is closed."""
    chunk = text(b"*" * 60_000) * 10
    largest = 0
    with serve(close_seconds=30.0) as target, target.upgrade() as client:
        client.settimeout(1)
        (transport,) = target.transports
        try:
            for _ in range(4 * FLOOD_BYTES // len(chunk)):
                client.sendall(chunk)
                largest = max(largest, transport.get_write_buffer_size())
        except (TimeoutError, ConnectionError):
            largest = max(largest, transport.get_write_buffer_size())

    assert largest < 4 << 20
