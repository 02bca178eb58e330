"""One connection to a Redis server, kept open.

Nothing here waits longer than it says: redis-py's own time limits and retries are switched off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from abc import abstractmethod
from typing import Final

from typing_extensions import override

from itemwire.engines.base import EngineError, UnfitEngine
from itemwire.engines.networked import NO_ANSWER
from itemwire.engines.redis.client import (
    BusyLoadingError,
    Command,
    MakeConnection,
    RedisError,
    RedisPyConnection,
    Reply,
    ResponseError,
    pack_commands,
)
from itemwire.engines.redis.faults import LACKING, is_wrong_url, lacks_command
from itemwire.engines.tasks import ReconnectingLink, StillStarting, end

logger = logging.getLogger("itemwire.engines")

CONNECT_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.2
LATE_TURN: Final = 0.05  # for replies that arrived while this process itself was held up


class RedisConnection(ReconnectingLink):
    """Keeps one connection open and sends what is queued, once per tick of the event loop."""

    def __init__(self, name: str, make_connection: MakeConnection) -> None:
        super().__init__(name)
        self._make_connection = make_connection
        self._connection: RedisPyConnection | None = None
        self._wake = asyncio.Event()

    @abstractmethod
    async def _greet(self, connection: RedisPyConnection) -> None:
        """Ask what must be known before anything else."""
        ...

    @abstractmethod
    def _fail(self, problem: str) -> None:
        """Fail what can no longer be answered; the connection, or an attempt, has failed."""
        ...

    @abstractmethod
    def _receive(self, reply: Reply | ResponseError) -> None:
        """Take a reply that has arrived."""
        ...

    @abstractmethod
    def _take_commands(self) -> list[Command]:
        """Return the commands that are to be sent now."""
        ...

    @abstractmethod
    def _is_silent(self, now: float) -> bool:
        """Return whether a reply is overdue; ask an idle server for one."""
        ...

    @property
    @override
    def _is_alive(self) -> bool:
        return self._connection is not None and self._connection.is_connected

    @override
    async def _open(self) -> None:
        connection = self._connection = self._make_connection()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()
                await self._greet(connection)
        except BusyLoadingError as error:
            raise StillStarting(str(error)) from error
        except (RedisError, OSError) as error:
            if lacks_command(error):
                raise UnfitEngine(f"{LACKING}{error}") from error
            if is_wrong_url(error):
                raise UnfitEngine(f"ITEMWIRE_ENGINE_URL: {error}") from error
            raise EngineError(str(error) or NO_ANSWER) from error

    @override
    async def _serve(self) -> str:
        if (connection := self._connection) is None:
            return self.problem
        self._wake.set()
        parts = self._read(connection), self._write(connection), self._watch()
        serving = [asyncio.create_task(part) for part in parts]
        # No TaskGroup: before Python 3.13 it forgets that it was cancelled if a task fails as well.
        try:
            await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*serving)
        failures = [task.exception() for task in serving if not task.cancelled()]
        return _problem_of(failures[0]) if failures else NO_ANSWER

    @override
    async def _close(self, problem: str) -> None:
        self._fail(problem)
        connection, self._connection = self._connection, None
        if connection is not None:
            # At the end it is closed in order, TLS included; one that broke is not waited for.
            with contextlib.suppress(RedisError):
                await connection.disconnect(nowait=self._task is not None)

    async def _read(self, connection: RedisPyConnection) -> None:
        while True:
            reply: Reply | ResponseError
            try:
                reply = await connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            except ResponseError as error:
                reply = error
            try:
                self._receive(reply)
            except EngineError:
                raise
            except Exception:
                # What a subscriber's code throws must not cost all others their messages.
                logger.exception("delivery_failed")

    async def _write(self, connection: RedisPyConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            commands = self._take_commands()
            if commands:
                await connection.send_packed_command(pack_commands(commands), check_health=False)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self.is_connected:
                raise EngineError("the connection broke")
            if self._is_silent(loop.time()):
                await asyncio.sleep(LATE_TURN)
                if self._is_silent(loop.time()):
                    raise EngineError("the server does not answer")


async def info_of(connection: RedisPyConnection) -> dict[str, str]:
    """Return what a server tells of itself."""
    await connection.send_command("INFO", "server", check_health=False)
    info: bytes = await connection.read_response(disable_decoding=True, timeout=math.inf)
    parts = (line.partition(":") for line in info.decode().splitlines())
    fields = {name: value for name, _, value in parts}
    if "run_id" not in fields:
        raise EngineError("the server does not tell its run_id")
    return fields


def _problem_of(error: BaseException | None) -> str:
    """Return what ended a connection; a fault of our own is raised, to be logged."""
    if error is None or isinstance(error, (RedisError, OSError, EngineError)):
        return str(error or "") or NO_ANSWER
    raise error
