"""Clients that leave in seven ways, and a measure of what a server keeps of them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import uvicorn

from tests.conformance.websocket_frames import client_frame, close, text
from tests.fastpath.served import head, read_all, read_until

RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER without time: a reset in place of an end
WAIT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where clients come in, and where they are turned away."""

    server: uvicorn.Server
    path: str
    refusing_path: str

    def dial(self, data: bytes = b"") -> socket.socket:
        """Connect and say something."""
        address = self.server.servers[0].sockets[0].getsockname()
        client = socket.create_connection(address, timeout=WAIT_SECONDS)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(data)
        return client

    def upgrade(self) -> socket.socket:
        """Open a WebSocket."""
        client = self.dial(head(self.path))
        read_until(client, b"\r\n\r\n", at_once=1)
        return client


def reset(client: socket.socket) -> None:
    """Be gone without a word, as a crashed client's system says it."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def closes(door: Door) -> None:
    """Leave as a browser's page does."""
    with door.upgrade() as client:
        client.sendall(text(b"hello") + close(1000, b"bye"))
        read_all(client)


def closes_without_code(door: Door) -> None:
    """Leave as some libraries do."""
    with door.upgrade() as client:
        client.sendall(close())
        read_all(client)


def vanishes(door: Door) -> None:
    """End the connection without a close frame."""
    door.upgrade().close()


def resets(door: Door) -> None:
    """Crash."""
    reset(door.upgrade())


def vanishes_within_a_frame(door: Door) -> None:
    """Lose the line in the middle of a message."""
    with door.upgrade() as client:
        client.sendall(client_frame(1, b"half a", fin=False) + text(b"whole")[:5])


def is_refused(door: Door) -> None:
    """Come without a right, hear so, and go."""
    with door.dial(head(door.refusing_path)) as client:
        read_until(client, b"credentials_invalid")
        client.sendall(close(1008))
        read_all(client)


def vanishes_within_the_head(door: Door) -> None:
    """Go before the request is whole."""
    door.dial(head(door.path)[:60]).close()


WAYS: Final[dict[str, Callable[[Door], None]]] = {
    way.__name__: way
    for way in (
        closes,
        closes_without_code,
        vanishes,
        resets,
        vanishes_within_a_frame,
        is_refused,
        vanishes_within_the_head,
    )
}


class Footprint(NamedTuple):
    """What a server holds for its clients."""

    descriptors: int
    connections: int
    tasks: int


def footprint(server: uvicorn.Server) -> Footprint:
    """Count descriptors of this process, and connections and tasks of the server."""
    loop = server.servers[0].get_loop()

    async def tasks() -> int:
        return len(asyncio.all_tasks()) - 1  # less this one

    running = asyncio.run_coroutine_threadsafe(tasks(), loop).result(WAIT_SECONDS)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return Footprint(descriptors, len(server.server_state.connections), running)
