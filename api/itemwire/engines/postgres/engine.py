"""The engine on PostgreSQL: channels are rows, and a commit is what publishes.

Messages are stored by one function of the server, which the application's own transactions call
too. NOTIFY only says that there is something new: what it is, and in which order, is read from the
table.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from functools import partial
from typing import Final

from typing_extensions import override

from itemwire.engines.base import (
    NO_SINK,
    Answer,
    ChannelBounds,
    EngineError,
    History,
    Sink,
    Span,
    new_secret,
)
from itemwire.engines.callbacks import in_time, when_done
from itemwire.engines.networked import START_SECONDS, NetworkedEngine, Routine
from itemwire.engines.postgres.client import PROBLEMS, AsyncpgConnection, Row, connect
from itemwire.engines.postgres.connection import PostgresConnection, check_url, reason_of
from itemwire.engines.postgres.notices import PostgresNotices
from itemwire.engines.postgres.pooler import refuse_shared_sessions
from itemwire.engines.postgres.publishing import PostgresPublisher, StoredPosition
from itemwire.engines.postgres.reading import PostgresHistoryReader
from itemwire.engines.postgres.requests import (
    ERASE,
    FIND_SECRET,
    MAKE_SECRET,
    PUT,
    TAKE,
    PostgresRequests,
)
from itemwire.engines.postgres.schema import VERSION, check_schema, init_schema
from itemwire.engines.postgres.telling import TOLD, PostgresTelling
from itemwire.engines.postgres.upkeep import PostgresUpkeep
from itemwire.engines.urls import hide_password
from itemwire.messages import Draft, Position, Publication

CHECK_SECONDS: Final = 10.0
OTHER_MS: Final = 1000  # less than CALL_SECONDS: upkeep that takes long must not cost a connection
QUICK_LOCK_MS: Final = 50  # all channels wait for it
PATIENT_LOCK_MS: Final = 100  # the other locked channels wait for it


def open_engine(url: str, bounds: ChannelBounds) -> PostgresEngine:
    """Return an engine for postgresql:// or postgres://, not yet connected."""
    check_url(url)
    return PostgresEngine(url, bounds)


def init_store(url: str) -> str:
    """Make or update the schema in a database; EngineError says why it cannot be done."""
    check_url(url)
    return asyncio.run(_init(url))


async def _init(url: str) -> str:
    try:
        connection = await connect(url, START_SECONDS)
        try:
            before = await init_schema(connection)
        finally:
            await connection.close(timeout=START_SECONDS)
    except (EngineError, ValueError, *PROBLEMS) as error:
        raise EngineError(f"cannot use {hide_password(url)}: {reason_of(error)}") from None
    if before == VERSION:
        return f"The schema has version {VERSION} already."
    return f"The schema has version {VERSION} now; it had {before or 'none'}."


class PostgresEngine(NetworkedEngine):
    """Keeps channels in a PostgreSQL database, over five connections per node."""

    def __init__(self, url: str, bounds: ChannelBounds) -> None:
        super().__init__(hide_password(url))
        self._bounds = bounds
        self._url = url
        self._listener = PostgresConnection("listening", url, self._prepare_listener)
        self._quick = PostgresConnection("publishing", url, self._prepare, lock_ms=QUICK_LOCK_MS)
        self._patient = PostgresConnection("waiting", url, self._prepare, lock_ms=PATIENT_LOCK_MS)
        self._reader = PostgresConnection("reading", url, self._prepare)
        self._other = PostgresConnection("other", url, self._prepare, most_ms=OTHER_MS)
        self._publisher = PostgresPublisher(self._quick, self._patient, self._mark_stale)
        self._history_reader = PostgresHistoryReader(self._reader, bounds, self._make_channel)
        self._requests = PostgresRequests(self._other)
        self._subscribed: set[str] = set()
        self._upkeep = PostgresUpkeep(self._requests, bounds, self._subscribed)
        self._begin(NO_SINK)

    @property
    def _connections(self) -> tuple[PostgresConnection, ...]:
        return self._listener, self._quick, self._patient, self._reader, self._other

    @property
    def _queues(self) -> tuple[PostgresPublisher | PostgresHistoryReader | PostgresRequests, ...]:
        return self._publisher, self._history_reader, self._requests

    @property
    @override
    def _notice_reader(self) -> PostgresNotices:
        return self._notices

    @property
    @override
    def _is_connected(self) -> bool:
        return all(one.is_connected for one in self._connections) and all(
            one.is_running for one in self._queues
        )

    @property
    @override
    def _is_away(self) -> bool:
        return not self.is_available

    @override
    def _begin(self, sink: Sink) -> None:
        self._notices = PostgresNotices(self._requests, sink.apply)
        self._telling = PostgresTelling(self._requests)

    @override
    async def _connect(self) -> None:
        for connection in self._connections:  # one by one: whatever is wrong is logged once
            connection.start()
            await connection.first_attempt()
        for queue in self._queues:
            queue.start()
        self._notices.check()

    @override
    def _start_problem(self) -> str:
        return next((one.problem for one in self._connections if not one.is_connected), "")

    @override
    async def _disconnect(self) -> None:
        for queue in self._queues:
            await queue.stop()
        for connection in self._connections:
            await connection.stop()

    @override
    def _routines(self) -> Iterable[Routine]:
        return [*self._comparing(CHECK_SECONDS), *self._upkeep.routines()]

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        answer = in_time(answer)

        def published(stored: StoredPosition | EngineError) -> None:
            if isinstance(stored, EngineError):
                answer(stored)
                return
            epoch, offset, is_new = stored
            self._upkeep.note_stored(channel)
            if is_new:  # it is known here: no need to read it
                self._subscriptions.receive(channel, epoch, Publication.of(draft, offset))
            answer(Position(epoch, offset))

        self._publisher.ask(channel, draft, published, self._bounds.of(channel).retained)

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        self._telling.tell(channel, words, in_time(answer))

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        self._requests.ask(when_done(in_time(answer)), ERASE, channel)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._requests.ask(when_done(in_time(answer)), PUT, key, value, float(seconds))

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        self._requests.ask(partial(_answer_value, in_time(answer)), TAKE, key)

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        answer = in_time(answer)

        def have_looked(rows: list[Row] | EngineError) -> None:
            if isinstance(rows, EngineError):
                answer(rows)
            elif rows:
                answer(rows[0][0])
            else:
                self._requests.ask(have_looked, MAKE_SECRET, new_secret())

        self._requests.ask(have_looked, FIND_SECRET)

    @override
    def listen(self, channel: str) -> None:
        self._subscribed.add(channel)
        # All channels share one wake-up. Either it is listened to already, or it will be soon,
        # and then everything is read.
        self._subscriptions.begin_anew(channel)

    @override
    def leave(self, channel: str) -> None:
        self._subscribed.discard(channel)

    @override
    def fetch(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._history_reader.ask(channel, span, answer, is_live=True)

    @override
    def _read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._history_reader.ask(channel, span, answer)

    def _make_channel(self, channel: str, made: Answer[None]) -> None:
        self._publisher.ask(channel, None, when_done(made))

    def _mark_stale(self, channel: str) -> None:
        self._subscriptions.mark_stale(channel)

    async def _prepare(self, connection: AsyncpgConnection) -> None:
        await check_schema(connection)
        await self._notices.check_life(connection)  # before anything is stored in an older copy

    async def _prepare_listener(self, connection: AsyncpgConnection) -> None:
        await refuse_shared_sessions(connection, self._url)
        await self._prepare(connection)
        await connection.add_listener("itemwire", self._take_wake_up)
        # What was notified while nobody listened has to be read.
        asyncio.get_running_loop().call_soon(self._begin_anew)

    def _begin_anew(self) -> None:
        self._telling.forget()
        self._compare_now()
        self._subscriptions.begin_all_anew()

    def _take_wake_up(self, _connection: object, pid: int, _name: str, wake_up: str) -> None:
        """Read what a transaction has committed, on whatever node or by the application."""
        if not wake_up:
            self._notices.check()
        elif wake_up.startswith(TOLD):
            self._take_told(pid, wake_up)
        elif pid not in {self._quick.pid, self._patient.pid}:  # their answers say it all
            with contextlib.suppress(ValueError):  # whoever may connect may notify
                epoch, offset, channel = wake_up.split(" ", 2)
                if self._subscriptions.needs(channel, epoch, int(offset)):
                    self._subscriptions.mark_stale(channel)

    def _take_told(self, pid: int, part: str) -> None:
        """Hand on what a node tells, once its last part has come."""
        channel = part.partition("|")[2]
        if self._subscriptions.follows(channel):
            words = self._telling.take(pid, part)
            if words is not None:
                self._subscriptions.hear(channel, words)


def _answer_value(answer: Answer[bytes | None], rows: list[Row] | EngineError) -> None:
    if isinstance(rows, EngineError):
        answer(rows)
    else:
        answer(rows[0][0] if rows else None)
