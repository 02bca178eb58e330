"""One connection to a PostgreSQL server, made anew whenever it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final

from typing_extensions import override

from itemwire.engines.base import EngineError, UnfitEngine
from itemwire.engines.networked import AWAY, NO_ANSWER
from itemwire.engines.postgres.client import (
    FROM_SERVER,
    IS_LOCKED,
    PROBLEMS,
    AsyncpgConnection,
    Row,
    connect,
)
from itemwire.engines.postgres.faults import fault_of
from itemwire.engines.tasks import SEE_LOG, ReconnectingLink, StillStarting, is_ending
from itemwire.engines.urls import check_files

logger = logging.getLogger("itemwire.engines")

CALL_SECONDS: Final = 1.4  # with the wait for its turn still less than ANSWER_SECONDS
CONNECT_SECONDS: Final = 3.0
BEAT_SECONDS: Final = 0.5
CANNOT_CONNECT_NOW: Final = "57P03"  # it starts up, recovers, or shuts down
WRONG_OPTIONS: Final = ("22023", "42704")  # a value, or a name, of an option that it has none of
BROKE: Final = "the connection broke"

# Whatever the server's default is: a publish must see what was stored before it locked the row.
SESSION: Final = "SET default_transaction_isolation = 'read committed'"

KEY_FILES: Final = ("sslcert", "sslcrl", "sslkey", "sslrootcert")
HOSTS: Final = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^:@,\[\]]*)(:(?P<port>[0-9]+))?")
LAST_PORT: Final = 65_535

Prepare = Callable[[AsyncpgConnection], Awaitable[None]]


class StatementRefused(EngineError):
    """The server refused one statement; the connection is as good as before."""


class ChannelLocked(StatementRefused):
    """Another transaction holds the row of the channel."""


class PostgresConnection(ReconnectingLink):
    """Runs one statement at a time; while it is not connected, callers are refused at once.

    `prepare` makes each new connection ready; if it raises, the attempt to connect has failed.
    """

    def __init__(
        self, name: str, url: str, prepare: Prepare, *, lock_ms: int = 1000, most_ms: int = 0
    ) -> None:
        super().__init__(name)
        self._url = url
        self._prepare = prepare
        self._limits = f"SET lock_timeout = {lock_ms}; SET statement_timeout = {most_ms}"
        self._connection: AsyncpgConnection | None = None
        self._closed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._is_used = False
        self.pid = 0

    @property
    @override
    def _is_alive(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def fetch(self, query: str, *values: object) -> list[Row]:
        """Run one statement; EngineError if it fails or takes too long."""
        async with self._turn:
            connection = self._connection
            if connection is None or not self.is_connected:
                raise EngineError(AWAY)
            self._is_used = True
            # Not asyncpg's own time limit: that asks the server to cancel, and waits for it.
            watch = asyncio.get_running_loop().call_later(CALL_SECONDS, connection.terminate)
            try:
                return list(await connection.fetch(query, *values))
            except Exception as error:
                # asyncpg raises more than it says: AttributeError, for instance, from a connection
                # that is ended between the two steps of a query. The caller must not end with it.
                raise self._judge(error, connection) from error
            except asyncio.CancelledError as error:
                if is_ending():
                    raise
                raise self._judge(error, connection) from error
            finally:
                watch.cancel()

    def _judge(self, error: BaseException, connection: AsyncpgConnection) -> EngineError:
        """Return what an error means, and end a connection that cannot be used any more."""
        if connection.is_closed():
            # It may be closed without its termination listener having been called: an error of
            # the server that arrives between two queries does that. `terminate` calls it.
            connection.terminate()
            return EngineError("the engine did not answer in time, or is away")
        if not isinstance(error, FROM_SERVER):
            logger.error("engine_failed", exc_info=error)
            connection.terminate()  # nobody knows what state it is in
            return EngineError(f"the engine failed: {SEE_LOG}")
        problem = reason_of(error)
        if isinstance(error, IS_LOCKED):
            return ChannelLocked(problem)
        return StatementRefused(problem, fault_of(error))

    @override
    async def _open(self) -> None:
        connection: AsyncpgConnection | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                # One that takes no writes for a while is read and heard; a replica is of no use.
                connection = await connect(
                    self._url, CONNECT_SECONDS, target_session_attrs="primary"
                )
                await connection.execute(f"{SESSION}; {self._limits}")
                await self._prepare(connection)
        except BaseException as error:
            if connection is not None:
                connection.terminate()
            if isinstance(error, UnfitEngine):
                raise
            if is_wrong_url(error):
                raise UnfitEngine(f"ITEMWIRE_ENGINE_URL: {reason_of(error)}") from None
            if isinstance(error, (EngineError, *PROBLEMS)):
                is_starting = getattr(error, "sqlstate", "") == CANNOT_CONNECT_NOW
                raise (StillStarting if is_starting else EngineError)(reason_of(error)) from None
            raise
        self._use(connection)

    def _use(self, connection: AsyncpgConnection) -> None:
        closed = self._closed = asyncio.Event()
        self._connection = connection
        self.pid = connection.get_server_pid()
        connection.add_termination_listener(lambda _: closed.set())

    @override
    async def _serve(self) -> str:
        """Ask an idle server for nothing now and then, so that one that is gone is noticed."""
        while self.is_connected:
            self._is_used = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), BEAT_SECONDS)
            if not self._is_used and self.is_connected:
                with contextlib.suppress(EngineError):
                    await self.fetch("SELECT 1")
        return BROKE

    @override
    async def _close(self, problem: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def check_url(url: str) -> None:
    """Check hosts, and the files that are named; ValueError does not quote what they may be."""
    scheme, _, rest = url.partition("://")
    hosts = re.split("[/?#]", rest)[0].rpartition("@")[2].split(",")
    found = [HOSTS.fullmatch(host) for host in hosts]
    if not all(host and int(host["port"] or 0) <= LAST_PORT for host in found):
        raise ValueError(
            f"ITEMWIRE_ENGINE_URL is not a URL as {scheme}://user:password@host:5432/database "
            "(percent-encode what is special in the password)"
        )
    check_files(url, KEY_FILES)


def is_wrong_url(error: BaseException) -> bool:
    """Whether an attempt to connect failed by what the URL says, and would do so for ever."""
    return isinstance(error, ValueError) or getattr(error, "sqlstate", None) in WRONG_OPTIONS


def reason_of(error: BaseException) -> str:
    """Return what is wrong in one line, which quotes nothing of the URL."""
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    if isinstance(error, OSError):
        return error.strerror or "cannot connect"
    if not isinstance(error, (EngineError, *PROBLEMS)):
        return "its URL cannot be read"  # the error's text may be a part of the password
    return str(error).partition("\n")[0] or type(error).__name__
