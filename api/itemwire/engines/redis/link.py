"""One connection to a Redis server, kept open.

Nothing here waits longer than it says: redis-py's own time limits and retries are off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from itemwire.engines.base import EngineError
from itemwire.engines.tasks import LONGEST_PAUSE, backoff, end

logger = logging.getLogger("itemwire.engines")

Word = str | bytes | float
Command = tuple[Word, ...]
Reply = Any
"""What redis-py makes of an answer: bytes, int, None, or a list of those."""

CONNECT_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.25
LATE_TURN: Final = 0.05  # for what has arrived while this process itself was held up


class RedisConnection(ABC):
    """Keeps one connection open and sends what is queued, once a tick of the event loop."""

    def __init__(self, open_connection: Callable[[], AbstractConnection]) -> None:
        self._open = open_connection
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self.is_connected = False
        self.is_away = False  # the last attempt to connect failed
        self.problem = "there was no answer yet"

    def start(self) -> None:
        """Begin to connect, and go on for ever."""
        self._task = asyncio.create_task(self._run())

    async def first_attempt(self) -> None:
        """Wait until it is connected; EngineError if that failed."""
        await self._tried.wait()
        if not self.is_connected:
            raise EngineError(self.problem)

    async def stop(self) -> None:
        """Close the connection; who waits for answers gets an error."""
        task, self._task = self._task, None
        await end(task)
        self.is_away = True
        self._lost("the engine is stopped")

    @abstractmethod
    async def _greet(self, connection: AbstractConnection) -> None:
        """Ask what must be known before anything else."""
        ...

    @abstractmethod
    def _connected(self) -> None:
        """Hear that it is connected."""
        ...

    @abstractmethod
    def _lost(self, problem: str) -> None:
        """Hear that the connection, or an attempt to connect, has failed."""
        ...

    @abstractmethod
    def _received(self, reply: Reply | ResponseError) -> None:
        """Take what has arrived."""
        ...

    @abstractmethod
    def _take(self) -> list[Command]:
        """Give the commands that are to be sent now."""
        ...

    @abstractmethod
    def _is_silent(self, now: float) -> bool:
        """Tell whether something should have arrived by now; ask something of an idle server."""
        ...

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pauses, connected_at = backoff(), math.inf
        while True:
            connection = self._open()
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.connect()  # type: ignore[no-untyped-call] # theirs is not typed
                    await self._greet(connection)
                connected_at = loop.time()
                await self._serve(connection)
            except* (RedisError, OSError, EngineError) as errors:
                self._fail(str(_first_of(errors)) or "no answer in time")
            except* Exception:
                # Without the next attempt the engine would be away for ever.
                logger.exception("engine_failed")
                self._fail("see the log")
            finally:
                # At the end it is closed in order, TLS too; what has broken is not waited for.
                with contextlib.suppress(RedisError):
                    await connection.disconnect(nowait=self._task is not None)
            if loop.time() - connected_at > LONGEST_PAUSE:  # it was good, not for a moment only
                pauses, connected_at = backoff(), math.inf
            await asyncio.sleep(next(pauses))

    async def _serve(self, connection: AbstractConnection) -> None:
        self.is_connected, self.is_away = True, False
        self._connected()
        self._tried.set()
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(connection))
            group.create_task(self._write(connection))
            group.create_task(self._watch())

    def _fail(self, problem: str) -> None:
        if self.is_connected:
            logger.warning("engine_lost problem=%s", problem)
        # A connection that was there and broke is made anew before anything is given up.
        self.is_away, self.is_connected = not self.is_connected, False
        self.problem = problem
        self._lost(problem)
        self._tried.set()

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            reply: Reply | ResponseError
            try:
                reply = await connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            except ResponseError as error:
                reply = error
            try:
                self._received(reply)
            except EngineError:
                raise
            except Exception:
                # What a subscriber's code throws must not cost all others their messages.
                logger.exception("delivery_failed")

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            commands = self._take()
            if commands:
                await connection.send_packed_command(_packed(commands), check_health=False)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._is_silent(loop.time()):
                await asyncio.sleep(LATE_TURN)
                if self._is_silent(loop.time()):
                    raise EngineError("the server does not answer")


def _packed(commands: list[Command]) -> bytes:
    """Write commands as Redis reads them: in C, a sixth of what redis-py's own way takes."""
    return b"".join(map(pack_command, commands))  # type: ignore[arg-type] # theirs is a tuple of one


def _first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Find the error itself in a group, which may hold groups."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
