"""What is published on a Redis server, heard on a connection of its own.

What holds up a request must not hold up live messages, and Redis takes no requests on a connection
that listens.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError
from typing_extensions import override

from itemwire.engines.redis.link import Command, RedisConnection, Reply

SILENT_SECONDS: Final = 2.0
PONG_LENGTH: Final = 2  # all else that comes has a name and something about it


class RedisListener(RedisConnection):
    """Hears the channels of Redis that it is told to."""

    def __init__(
        self,
        open_connection: Callable[[], AbstractConnection],
        received: Callable[[list[Reply]], None],
        refused: Callable[[ResponseError | list[Reply]], None],
        commands: tuple[str, str],
    ) -> None:
        super().__init__(open_connection)
        self._hear_word, self._leave_word = commands
        self._apply = received
        self._refused = refused
        self._queue: list[tuple[str, ...]] = []
        self._heard_at = 0.0
        self.names: dict[str, None] = {}

    def hear(self, name: str) -> None:
        """Hear a channel of Redis; again if it is heard already, to have it confirmed."""
        self.names[name] = None
        self._send(self._hear_word, name)

    def leave(self, name: str) -> None:
        """Hear it no more."""
        if name in self.names:
            del self.names[name]
            self._send(self._leave_word, name)

    def _send(self, word: str, name: str = "") -> None:
        if self.is_connected:
            self._queue.append((word, name) if name else (word,))
            self._wake.set()

    @override
    async def _greet(self, connection: AbstractConnection) -> None:
        """Know it by its answers to PING."""
        await connection.send_command("PING", check_health=False)
        await connection.read_response(timeout=math.inf)

    @override
    def _connected(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._queue = [(self._hear_word, name) for name in self.names]

    @override
    def _lost(self, problem: str) -> None:
        self._queue = []

    @override
    def _received(self, reply: Reply | ResponseError) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if isinstance(reply, ResponseError):
            self._refused(reply)
        elif isinstance(reply, list) and len(reply) > PONG_LENGTH:
            if reply[0].endswith(b"unsubscribe") and reply[1].decode() in self.names:
                self._refused(reply)  # its slot has gone to another server
            self._apply(reply)

    @override
    def _take(self) -> list[Command]:
        queue, self._queue = self._queue, []
        return list(queue)

    @override
    def _is_silent(self, now: float) -> bool:
        self._send("PING")
        return now - self._heard_at > SILENT_SECONDS
