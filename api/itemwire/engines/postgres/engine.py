"""The engine on PostgreSQL: channels are rows, and a commit is what publishes.

Messages are stored by one function of the server, which the application's own transactions call
too. NOTIFY only says that there is something new; what it is, and its order, come from the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import asyncpg
from typing_extensions import override

from itemwire.engines.base import (
    NO_SINK,
    Answer,
    Bounds,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
)
from itemwire.engines.callbacks import answer_to, in_time, when_done
from itemwire.engines.postgres.link import PROBLEMS, PostgresConnection, check_url, reason_of
from itemwire.engines.postgres.publishing import PostgresPublisher, StoredPosition
from itemwire.engines.postgres.reading import PostgresHistoryReader
from itemwire.engines.postgres.requests import (
    LATEST,
    POST,
    PUT,
    TAKE,
    PostgresNotices,
    PostgresRequests,
)
from itemwire.engines.postgres.schema import VERSION, check_schema, init_schema
from itemwire.engines.postgres.upkeep import PostgresUpkeep
from itemwire.engines.subscriptions import ChannelSource, Subscriptions
from itemwire.engines.tasks import end, repeat
from itemwire.engines.urls import hide_password
from itemwire.messages import Draft, Position, Publication

START_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 10.0
OTHER_MS: Final = 1000  # less than CALL_SECONDS: tidying that takes long is no lost connection
QUICK_LOCK_MS: Final = 50  # all channels wait for it
PATIENT_LOCK_MS: Final = 100  # the other channels that are held wait for it


def open_engine(url: str, bounds: Bounds) -> PostgresEngine:
    """Make an engine for postgresql:// or postgres://; nothing connects yet."""
    check_url(url)
    return PostgresEngine(url, bounds)


def init_store(url: str) -> str:
    """Make or update the schema in a database; EngineError says why it cannot be."""
    check_url(url)
    return asyncio.run(_init(url))


async def _init(url: str) -> str:
    try:
        connection = await asyncpg.connect(url, timeout=START_SECONDS)
        try:
            before = await init_schema(connection)
        finally:
            await connection.close(timeout=START_SECONDS)
    except (EngineError, ValueError, *PROBLEMS) as error:
        raise EngineError(f"cannot use {hide_password(url)}: {reason_of(error)}") from None
    if before == VERSION:
        return f"The schema has version {VERSION} already."
    return f"The schema has version {VERSION} now; it had {before or 'none'}."


class PostgresEngine(Engine, ChannelSource):
    """Keeps channels in a PostgreSQL database, by five connections of a node."""

    def __init__(self, url: str, bounds: Bounds) -> None:
        self._url = url
        self._listening = PostgresConnection("listening", url, self._listen)
        self._quick = PostgresConnection("publishing", url, check_schema, lock_ms=QUICK_LOCK_MS)
        self._patient = PostgresConnection("waiting", url, check_schema, lock_ms=PATIENT_LOCK_MS)
        self._reader = PostgresConnection("reading", url, check_schema)
        self._other = PostgresConnection("other", url, check_schema, most_ms=OTHER_MS)
        self._publishing = PostgresPublisher(self._quick, self._patient, self._doubt)
        self._reading = PostgresHistoryReader(self._reader, bounds, self._make)
        self._requests = PostgresRequests(self._other)
        self._notices = PostgresNotices(self._requests, NO_SINK.apply)
        self._hearing = Subscriptions(self, NO_SINK)
        self._heard: set[str] = set()
        self._upkeep = PostgresUpkeep(self._requests, bounds, self._heard)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    @override
    def is_available(self) -> bool:
        parts = (self._publishing, self._reading, self._requests)
        return (
            bool(self._tasks)
            and all(link.is_connected for link in self._links)
            and all(part.is_running for part in parts)
        )

    @property
    def _links(self) -> tuple[PostgresConnection, ...]:
        return self._listening, self._quick, self._patient, self._reader, self._other

    @override
    async def start(self, sink: Sink) -> None:
        await self.stop()
        self._notices = PostgresNotices(self._requests, sink.apply)
        self._hearing = Subscriptions(self, sink)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._begin()
        except (EngineError, TimeoutError) as error:
            await self.stop()
            shown = hide_password(self._url)
            raise EngineError(f"cannot use {shown}: {reason_of(error)}") from None
        self._tasks = [
            asyncio.create_task(repeat(CHECK_SECONDS, self._check_again)),
            *self._upkeep.tasks(),
        ]

    async def _begin(self) -> None:
        await self._listening.start()  # alone first: whatever is wrong is said once
        for link in self._links[1:]:
            await link.start()
        for part in (self._publishing, self._reading, self._requests):
            part.start()
        checked: asyncio.Future[EngineError | None] = asyncio.get_running_loop().create_future()
        self._notices.check(answer_to(checked))
        problem = await checked
        if problem is not None:
            raise problem

    @override
    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        self._hearing.stop()
        for part in (self._publishing, self._reading, self._requests):
            await part.stop()
        for link in self._links:
            await link.stop()

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        if channel in self._heard or self.is_available:
            self._hearing.subscribe(channel, answer)
        else:
            answer(EngineError("the engine is away"))

    @override
    def unsubscribe(self, channel: str) -> None:
        self._hearing.unsubscribe(channel)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        answer = in_time(answer)

        def published(stored: StoredPosition | EngineError) -> None:
            if isinstance(stored, EngineError):
                answer(stored)
                return
            epoch, offset, is_new = stored
            if is_new:  # it is here already: no need to read it
                self._hearing.offer(channel, epoch, Publication.of(draft, offset))
            answer(Position(epoch, offset))

        self._publishing.ask(channel, draft, published)

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        answer = in_time(answer)

        def have_read(history: History | EngineError) -> None:
            if isinstance(history, EngineError):
                answer(history)
            else:
                self._hearing.answer_after(channel, history, answer)

        self._reading.ask(channel, span, have_read)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._requests.ask(when_done(in_time(answer)), POST, notice, min(until, LATEST))

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._requests.ask(when_done(in_time(answer)), PUT, key, value, float(seconds))

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        answer = in_time(answer)

        def taken(rows: list[Any] | EngineError) -> None:
            if isinstance(rows, EngineError):
                answer(rows)
            else:
                answer(rows[0][0] if rows else None)

        self._requests.ask(taken, TAKE, key)

    @override
    def hear(self, channel: str) -> None:
        self._heard.add(channel)
        # All channels have one wake-up, which is heard already, or will be and then all is read.
        self._hearing.confirmed(channel)

    @override
    def leave(self, channel: str) -> None:
        self._heard.discard(channel)

    @override
    def look_up(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._reading.ask(channel, span, answer, is_live=True)

    def _make(self, channel: str, made: Answer[None]) -> None:
        def published(stored: StoredPosition | EngineError) -> None:
            made(stored if isinstance(stored, EngineError) else None)

        self._publishing.ask(channel, None, published)

    def _doubt(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self._hearing.confirmed(channel)

    async def _listen(self, connection: asyncpg.Connection) -> None:
        await check_schema(connection)
        await connection.add_listener("itemwire", self._woken)
        # What was said while nobody listened is read.
        asyncio.get_running_loop().call_soon(self._check)

    def _woken(self, _connection: object, pid: int, _name: str, wake_up: str) -> None:
        """Hear that something was committed, by whomever."""
        if not wake_up:
            self._notices.check()
        elif pid not in {self._quick.pid, self._patient.pid}:  # whose answers say it all
            epoch, offset, channel = wake_up.split(" ", 2)
            if self._hearing.needs(channel, epoch, int(offset)):
                self._hearing.confirmed(channel)

    def _check(self) -> None:
        if self._requests.is_running:
            self._notices.check()
            self._hearing.check_all()

    async def _check_again(self) -> None:
        self._check()
