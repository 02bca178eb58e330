"""What is published on a Redis server, received on a connection of its own.

Whatever holds up a request must not hold up live messages, and Redis takes no requests on a
connection that subscribes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from itemwire.engines.base import EngineError
from itemwire.engines.faults import FAILING, FORBIDDEN
from itemwire.engines.redis.client import (
    Command,
    MakeConnection,
    RedisPyConnection,
    Reply,
    ResponseError,
    is_push,
)
from itemwire.engines.redis.connection import RedisConnection, info_of
from itemwire.engines.redis.faults import lacks_command, refusal_of
from itemwire.engines.redis.requests import RedisRequests

SILENT_SECONDS: Final = 1.5  # with one look of the connection less than two seconds

NO_CHANNEL: Final = "itemwire:none"


class RedisListener(RedisConnection):
    """Receives the pub/sub channels that it is told to listen to."""

    def __init__(
        self,
        make_connection: MakeConnection,
        receive: Callable[[list[Reply]], None],
        refuse: Callable[[ResponseError | list[Reply]], None],
        commands: tuple[str, str],
        requests: RedisRequests,
        *,
        at: str = "",
    ) -> None:
        super().__init__(f"listener{at}", make_connection)
        self._listen_command, self._leave_command = commands
        self._on_push = receive
        self._on_refusal = refuse
        self._requests = requests
        self._run_id = ""
        self._queue: list[tuple[str, ...]] = []
        self._received_at = 0.0
        self.names: dict[str, None] = {}

    def listen(self, name: str) -> None:
        """Listen to a pub/sub channel; if that is so already, have it confirmed again."""
        self.names[name] = None
        self._send(self._listen_command, name)

    def leave(self, name: str) -> None:
        """Listen to it no longer."""
        if name in self.names:
            del self.names[name]
            self._send(self._leave_command, name)

    def _send(self, word: str, name: str = "") -> None:
        if self.is_connected:
            self._queue.append((word, name) if name else (word,))
            self._wake.set()

    @override
    async def _greet(self, connection: RedisPyConnection) -> None:
        """Make sure that it answers PING, by which silence is noticed, and may be listened to."""
        await connection.send_command("PING", check_health=False)
        try:
            await connection.read_response(disable_decoding=True, timeout=math.inf)
        except ResponseError as error:
            if not _is_of_its_disk(error):
                raise
        self._run_id = (await info_of(connection))["run_id"]
        await self._check_right(connection)

    async def _check_right(self, connection: RedisPyConnection) -> None:
        """Make sure that this user may listen, by one of the channels that it has to hear.

        Before there is one, it leaves a channel that it never heard: a proxy without channels lacks
        that command as well.
        """
        commands = [(self._listen_command, name) for name in list(self.names)[:1]]
        for command in commands or [(self._leave_command, NO_CHANNEL)]:
            await connection.send_command(*command, check_health=False)
            try:
                await connection.read_response(disable_decoding=True, timeout=math.inf)
            except ResponseError as error:
                if refusal_of(error).fault is FORBIDDEN or lacks_command(error):
                    raise  # else its slot is on another server

    @override
    async def _serve(self) -> str:
        self._received_at = asyncio.get_running_loop().time()
        self._queue = [(self._listen_command, name) for name in self.names]
        return await super()._serve()

    @override
    def _fail(self, problem: str) -> None:
        self._queue = []

    @override
    def _receive(self, reply: Reply | ResponseError) -> None:
        self._received_at = asyncio.get_running_loop().time()
        if isinstance(reply, ResponseError):
            if not _is_of_its_disk(reply):
                self._on_refusal(reply)
            if refusal_of(reply).fault is FORBIDDEN:
                raise EngineError(str(reply))  # who hears nothing is not connected
        elif is_push(reply):
            if reply[0].endswith(b"unsubscribe") and reply[1].decode() in self.names:
                self._on_refusal(reply)  # its slot has gone to another server
            self._on_push(reply)

    @override
    def _take_commands(self) -> list[Command]:
        queue, self._queue = self._queue, []
        return list(queue)

    @override
    def _is_silent(self, now: float) -> bool:
        requests = self._requests
        if requests.is_connected and requests.run_id != self._run_id:
            # A name may lead elsewhere by now, and what is published there is not heard here.
            raise EngineError("another server has taken its place")
        self._send("PING")
        return now - self._received_at > SILENT_SECONDS


def _is_of_its_disk(error: ResponseError) -> bool:
    """Tell whether a PING was refused for want of a disk: the server is heard all the same."""
    return refusal_of(error).fault is FAILING
