"""One connection to a PostgreSQL server, made again whenever it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from itemwire.engines.base import EngineError
from itemwire.engines.tasks import backoff, end

logger = logging.getLogger("itemwire.engines")

CALL_SECONDS: Final = 1.4  # with what it waited before, an answer comes within ANSWER_SECONDS
CONNECT_SECONDS: Final = 3.0
BEAT_SECONDS: Final = 0.5

PROBLEMS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

# Whatever the server's defaults: a publish sees what was stored before it locked the row.
SESSION: Final = "SET default_transaction_isolation = 'read committed'"

HOSTS: Final = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^:@,\[\]]*)(:(?P<port>[0-9]+))?")
LAST_PORT: Final = 65_535

Prepare = Callable[["asyncpg.Connection"], Awaitable[None]]


class StatementRefused(EngineError):
    """The server said no to one statement; the connection is as good as before."""


class ChannelLocked(StatementRefused):
    """Another transaction holds what was asked for."""


class PostgresConnection:
    """Does one thing at a time; while it is not connected, whoever asks is told at once.

    `prepare` makes each new connection ready; what it raises counts as not connected.
    """

    def __init__(
        self, name: str, url: str, prepare: Prepare, *, lock_ms: int = 1000, most_ms: int = 0
    ) -> None:
        self._name = name
        self._url = url
        self._prepare = prepare
        self._limits = f"SET lock_timeout = {lock_ms}; SET statement_timeout = {most_ms}"
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._is_used = False
        self._task: asyncio.Task[None] | None = None
        self.pid = 0

    @property
    def is_connected(self) -> bool:
        """Tell whether the server answered of late."""
        return self._connection is not None

    async def start(self) -> None:
        """Connect; EngineError says why not."""
        closed = await self._connect()
        self._task = asyncio.create_task(self._keep(closed))

    async def stop(self) -> None:
        """Disconnect, and stay so."""
        task, self._task = self._task, None
        await end(task)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def fetch(self, query: str, *values: object) -> list[Any]:
        """Run one statement; EngineError if it fails, or takes too long."""
        async with self._turn:
            connection = self._connection
            if connection is None:
                raise EngineError("the engine is away")
            self._is_used = True
            # Not asyncpg's own time limit: that asks the server to cancel, and waits for it.
            watch = asyncio.get_running_loop().call_later(CALL_SECONDS, connection.terminate)
            try:
                return list(await connection.fetch(query, *values))
            except Exception as error:
                # Not only what asyncpg promises: one that is ended between a query's two steps
                # throws AttributeError, and who asks here must not end with it.
                raise self._judge(error, connection) from error
            finally:
                watch.cancel()

    def _judge(self, error: Exception, connection: asyncpg.Connection) -> EngineError:
        if connection.is_closed():
            return EngineError("the engine did not answer in time, or is away")
        if not isinstance(error, PROBLEMS):
            logger.error("engine_failed", exc_info=error)
            connection.terminate()  # nobody knows what state it is in
            return EngineError("the engine failed: see the log")
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            connection.terminate()  # a replica by now: find out who took over
            return EngineError("the engine's server takes no writes")
        problem = reason_of(error)
        if isinstance(error, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError):
            return ChannelLocked(problem)
        return StatementRefused(problem)

    async def _keep(self, closed: asyncio.Event) -> None:
        while True:
            await self._beat_until(closed)
            self._connection = None
            problem = "it broke"
            for pause in backoff():
                await asyncio.sleep(pause)
                try:
                    closed = await self._connect()
                    break
                except EngineError as error:
                    if str(error) != problem:  # else it would be said once a second
                        problem = str(error)
                        logger.warning("engine_lost link=%s problem=%s", self._name, problem)
                except Exception:
                    # Without the next attempt the engine would be away for ever.
                    logger.exception("engine_failed")

    async def _beat_until(self, closed: asyncio.Event) -> None:
        """Ask for nothing now and then, so that a server that is gone is noticed."""
        while not closed.is_set():
            self._is_used = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), BEAT_SECONDS)
            if not self._is_used and not closed.is_set():
                with contextlib.suppress(EngineError):
                    await self.fetch("SELECT 1")

    async def _connect(self) -> asyncio.Event:
        """Connect; give what is set when it breaks."""
        connection: asyncpg.Connection | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await asyncpg.connect(
                    self._url, timeout=CONNECT_SECONDS, target_session_attrs="read-write"
                )
                await connection.execute(f"{SESSION}; {self._limits}")
                await self._prepare(connection)
        except (EngineError, ValueError, *PROBLEMS) as error:
            if connection is not None:
                connection.terminate()
            raise EngineError(reason_of(error)) from None
        except BaseException:
            if connection is not None:
                connection.terminate()
            raise
        return self._take_over(connection)

    def _take_over(self, connection: asyncpg.Connection) -> asyncio.Event:
        """Use a connection until it breaks; give what is set then."""
        closed = asyncio.Event()
        self._connection = connection
        self.pid = connection.get_server_pid()

        def lost(_connection: object) -> None:
            if closed.is_set():  # there may be another by now
                return
            self._connection = None
            closed.set()
            if self._task is not None:  # else it was stopped
                logger.warning("engine_lost link=%s", self._name)

        connection.add_termination_listener(lost)
        if connection.is_closed():
            lost(connection)
        logger.info("engine_connected link=%s", self._name)
        return closed


def check_url(url: str) -> None:
    """See that the hosts of a URL are hosts; ValueError does not repeat what they may be."""
    scheme, _, rest = url.partition("://")
    hosts = re.split("[/?#]", rest)[0].rpartition("@")[2].split(",")
    found = [HOSTS.fullmatch(host) for host in hosts]
    if not all(host and int(host["port"] or 0) <= LAST_PORT for host in found):
        raise ValueError(
            f"ITEMWIRE_ENGINE_URL is not a URL as {scheme}://user:password@host:5432/database "
            "(percent-encode what is special in the password)"
        )


def reason_of(error: Exception) -> str:
    """Say what is wrong in one line; nothing of the URL is in it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or "cannot connect"
    if not isinstance(error, (EngineError, *PROBLEMS)):
        return "its URL cannot be read"  # the error's text may be a part of the password
    return str(error).partition("\n")[0] or type(error).__name__
