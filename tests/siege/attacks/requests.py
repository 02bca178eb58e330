"""Requests without an end, and without a reader (A1, A2), and refused sockets that go on (A7)."""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import ExitStack
from typing import Final

from typing_extensions import override

from itemwire.bench.frames import PONG, client_frame
from tests.fastpath.served import head
from tests.siege.attack import Attack, Outcome
from tests.siege.door import Door

BODY: Final = b"GET /health/live HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST: Final = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
UNAUTHORIZED: Final = b"GET /items/42/messages HTTP/1.1\r\nHost: a\r\n\r\n"
PREFLIGHT: Final = (
    b"OPTIONS /items/42/messages HTTP/1.1\r\nHost: a\r\n"
    b"Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n\r\n"
)
HANDSHAKE: Final = head("/items/42/ws")
FRAME: Final = client_frame(PONG, b"")
BLOCK_BYTES: Final = 1 << 16
MOST_BYTES: Final = 128 << 20  # of a round: it fills 1 GiB and more where nothing bounds it
CONNECTION_BYTES: Final = 16 << 20  # after which another connection begins
STUCK_SECONDS: Final = 0.3  # after which the server takes no more


class EndlessBody(Attack):
    """Sends what surrounds a body for ever: trailers, or extensions of a chunk."""

    def __init__(self, opening: bytes, repeated: bytes) -> None:
        self._opening = BODY + opening
        self._block = repeated * (BLOCK_BYTES // len(repeated))

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        deadline, sent, connections = time.monotonic() + seconds, 0, 0
        while time.monotonic() < deadline and sent < MOST_BYTES:
            with door.dial(self._opening) as client:
                connections += 1
                sent += pour(client, self._block, deadline, CONNECTION_BYTES)
        return Outcome(notes={"MiB sent": sent / 2**20, "connections": connections})


class UnreadPipeline(Attack):
    """Sends many requests at once on each of a few connections, and reads no answer."""

    connections: Final = 4
    most_bytes: Final = 5 << 20

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        deadline, sent = time.monotonic() + seconds, 0
        block = REQUEST * (BLOCK_BYTES // len(REQUEST))
        with ExitStack() as stack:
            for _ in range(self.connections):
                client = stack.enter_context(door.dial(receive_buffer=8192))
                sent += pour(client, block, deadline, self.most_bytes)
        return Outcome(notes={"MiB sent": sent / 2**20})


class ManyPipelines(Attack):
    """Keeps hundreds of connections full of requests, and reads the answers of all.

    A first request, which may be another, is answered once on each connection.
    """

    connections: Final = 300

    def __init__(self, repeated: bytes = REQUEST, *, first: bytes = b"") -> None:
        self._first = first
        self._block = repeated * (BLOCK_BYTES // 16 // len(repeated))

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        deadline, answered = time.monotonic() + seconds, 0
        with ExitStack() as stack:
            crowd = stack.enter_context(selectors.DefaultSelector())
            for _ in range(self.connections):
                client = stack.enter_context(door.dial(self._first))
                client.setblocking(False)
                crowd.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while time.monotonic() < deadline and crowd.get_map():
                for key, events in crowd.select(timeout=STUCK_SECONDS):
                    one = key.fileobj
                    assert isinstance(one, socket.socket)
                    try:
                        if events & selectors.EVENT_READ:
                            answered += one.recv(BLOCK_BYTES).count(b"HTTP/1.1 ")
                        if events & selectors.EVENT_WRITE:
                            one.send(self._block)
                    except BlockingIOError:
                        pass
                    except OSError:
                        crowd.unregister(one)  # the server has ended it
        return Outcome(notes={"answered": answered})


def pour(client: socket.socket, block: bytes, deadline: float, most: int) -> int:
    """Send a block again and again, until the server takes no more; return the bytes."""
    client.settimeout(STUCK_SECONDS)
    sent = 0
    try:
        while sent < most and time.monotonic() < deadline:
            sent += client.send(block)
    except OSError:
        pass  # refused, or not read
    return sent
