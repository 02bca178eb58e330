"""How much is read at once from a connection, whatever its peer has sent."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import ExitStack

import pytest
from typing_extensions import override
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from itemwire.fastpath.bounded_reads import BODY_BYTES, HEAD_BYTES, BoundedReads
from itemwire.fastpath.http import HttpProtocol
from itemwire.fastpath.protocol import WebSocketProtocol
from tests.fastpath.served import dial, read_all, read_until, serving, upgrade

pytestmark = pytest.mark.server

GET = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Noting(HttpProtocol):
    """Notes how much each read brought."""

    heads: list[int]
    bodies: list[int]

    @override
    def data_received(self, data: bytes) -> None:
        (self.heads if self.reading_head else self.bodies).append(len(data))
        super().data_received(data)


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """Name each event loop."""
    Noting.heads, Noting.bodies = [], []
    name: str = request.param
    return name


def test_requests_are_read_a_little_at_a_time(loop: str) -> None:
    """All that a socket had was read in one go: 64 KiB from each of hundreds of connections."""
    pipelined = GET * 500 + LAST
    with serving(http=Noting, loop=loop) as site, ExitStack() as stack:
        clients = [stack.enter_context(dial(site)) for _ in range(20)]
        for client in clients:
            client.sendall(pipelined)
        answers = [read_all(client).count(b"HTTP/1.1 200 ") for client in clients]

    assert answers == [501] * 20
    assert max(Noting.heads) <= HEAD_BYTES
    assert sum(Noting.heads) == 20 * len(pipelined)


def test_a_body_is_read_in_larger_pieces(loop: str) -> None:
    """Little by little, a body of a megabyte would cost as many calls as 256 requests."""
    size = 1 << 20
    head = b"POST /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with serving(http=Noting, loop=loop) as site, dial(site) as client:
        client.sendall(head % size + b"x" * size)
        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert HEAD_BYTES < max(Noting.bodies) <= BODY_BYTES


class Outlived(HttpProtocol):
    """Tells which of its kind are still there."""

    made: list[weakref.ref[HttpProtocol]]

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's
        self.made.append(weakref.ref(self))
        super().connection_made(transport)


@pytest.mark.parametrize("ws", [WebSocketProtocol, WebSocketsSansIOProtocol])
def test_a_socket_keeps_nothing_of_what_read_its_handshake(
    loop: str, ws: type[asyncio.Protocol]
) -> None:
    """On uvloop a socket kept its whole head, of up to 64 KiB, for as long as it was open."""
    Outlived.made = []
    hello = b"\x81\x85\0\0\0\0hello"
    with serving(ws, Outlived, loop=loop) as site, upgrade(site) as client, dial(site) as other:
        other.sendall(GET)
        read_until(other, b"HTTP/1.1 200 ", at_once=1)
        client.sendall(hello)
        read_until(client, b"hello")
        gc.collect()

        assert [one() is None for one in Outlived.made] == [True, False]
        readers = [one for one in gc.get_objects() if isinstance(one, BoundedReads)]
        assert len(readers) == 1  # that of the other connection
