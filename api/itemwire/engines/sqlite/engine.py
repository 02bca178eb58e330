"""The engine of one server with a file: what was acknowledged survives a restart."""

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from typing_extensions import override

from itemwire.engines.base import (
    ANSWER_SECONDS,
    NO_SINK,
    Answer,
    ChannelBounds,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
)
from itemwire.engines.callbacks import answer_to, tell
from itemwire.engines.faults import INVALID
from itemwire.engines.sqlite.file import OpenedFile, SqliteFile, check_file, open_file
from itemwire.engines.sqlite.messages import encode_message
from itemwire.engines.sqlite.store import MessageEntry, SqliteStore
from itemwire.engines.sqlite.upkeep import SqliteUpkeep
from itemwire.engines.sqlite.writer import PublishRequest, SqliteWriter, StoreCall, WriterRequest
from itemwire.messages import Draft, Position, Publication, message_size

logger = logging.getLogger("itemwire.engines")

MAX_REQUESTS: Final = 10_000  # waiting for the disk; more are refused at once
MAX_BYTES: Final = 32 * 1_048_576

PATROL_SECONDS: Final = 0.25
STOP_SECONDS: Final = 10.0


def open_engine(url: str, bounds: ChannelBounds) -> "SqliteEngine":
    """Return an engine on the file that a URL names; ValueError if it cannot be used."""
    file = SqliteFile.of(url)
    check_file(file)
    return SqliteEngine(file, bounds)


class SqliteEngine(Engine):
    """Keeps each channel's recent messages in a file that no other process has open.

    A thread writes: the requests that arrive while it writes are the next transaction. Messages
    are delivered and requests are answered once that is committed, in one callback per
    transaction. A channel is forgotten as in memory; if it comes back it has a new epoch.
    """

    def __init__(
        self, file: SqliteFile, bounds: ChannelBounds, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = file
        self._bounds = bounds
        self._clock = clock
        self._sink = NO_SINK
        self._subscribed: set[str] = set()
        self._left: deque[str] = deque()  # by unsubscribing; the thread empties it
        self._writer: SqliteWriter | None = None
        self._fresh: list[WriterRequest[Any]] = []  # of this tick of the loop
        self._in_flight: deque[WriterRequest[Any]] = deque()
        self._bytes = 0
        self._patrol: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()  # set when the thread has ended
        self._is_late = False

    @property
    @override
    def is_available(self) -> bool:
        return self._writer is not None and not self._is_late

    @override
    async def start(self, sink: Sink) -> None:
        self._sink = sink
        if self._writer is None:
            self._loop = asyncio.get_running_loop()
            self._writer = await self._open()
        try:
            for notice in await self._notices():
                sink.apply(notice)
        except EngineError:
            await self.stop()
            raise

    async def _open(self) -> SqliteWriter:
        connection = await asyncio.to_thread(open_file, self._file)
        store = SqliteStore(connection, self._bounds, self._clock)
        upkeep = SqliteUpkeep(connection, store, self._bounds, self._subscribed, self._left)
        self._ended = asyncio.Event()
        return SqliteWriter(
            connection,
            store,
            upkeep,
            self._on_loop(self._settle),
            self._on_loop(self._ended.set),
            check=OpenedFile(self._file).check,
        )

    def _on_loop(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Return a callback for the thread; it does nothing once the loop is closed."""
        loop = self._loop

        def call(*arguments: object) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(callback, *arguments)

        return call

    async def _notices(self) -> list[bytes]:
        answered: asyncio.Future[list[bytes] | EngineError] = self._loop.create_future()
        self._ask(StoreCall(answer=answer_to(answered), run=SqliteStore.notices, only_reads=True))
        notices = await answered
        if isinstance(notices, EngineError):
            raise notices
        return notices

    @override
    async def stop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            self._hand_in(writer)
            writer.end()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._ended.wait()
            except TimeoutError:
                logger.error("engine_stuck: it could not be closed in %g s", STOP_SECONDS)  # noqa: TRY400
            self._refuse_asked_until(math.inf)
        self._sink = NO_SINK

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        self._subscribed.add(channel)
        answer(None)

    @override
    def unsubscribe(self, channel: str) -> None:
        if channel in self._subscribed:
            self._left.append(channel)  # first, so that the thread finds it in one of the two
            self._subscribed.discard(channel)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        try:
            message = encode_message(draft)
            size = len(message) + len(channel.encode()) + len((draft.key or "").encode())
        except UnicodeError as error:
            answer(EngineError(f"this cannot be stored as text: {error}", INVALID))
            return
        entry = MessageEntry(channel, draft.key, message_size(draft), message)

        def deliver(position: Position) -> None:
            if channel in self._subscribed:
                self._sink.deliver(channel, Publication.of(draft, position.offset))

        self._ask(PublishRequest(answer=answer, entry=entry, stored=deliver, size=size))

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._ask(
            StoreCall(answer=answer, run=lambda store: store.read(channel, span), only_reads=True)
        )

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        self._ask(StoreCall(answer=answer, run=lambda store: store.erase(channel)))

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._ask(
            StoreCall(
                answer=answer,
                run=lambda store: store.post(notice, until),
                stored=lambda _: self._sink.apply(notice),
                size=len(notice),
            )
        )

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        if channel in self._subscribed:
            self._sink.hear(channel, words)
        answer(None)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._ask(
            StoreCall(
                answer=answer, run=lambda store: store.put(key, value, seconds), size=len(value)
            )
        )

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        self._ask(StoreCall(answer=answer, run=lambda store: store.take(key)))

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        self._ask(StoreCall(answer=answer, run=SqliteStore.secret))

    def _ask(self, request: WriterRequest[Any]) -> None:
        if self._writer is None:
            request.reply(EngineError("the engine is not running"))
            return
        if len(self._in_flight) >= MAX_REQUESTS or self._bytes + request.size > MAX_BYTES:
            request.reply(EngineError("more is asked than the disk takes"))
            return
        request.asked_at = self._loop.time()
        self._in_flight.append(request)
        self._bytes += request.size
        if not self._fresh:
            self._loop.call_soon(self._hand_in, self._writer)
        self._fresh.append(request)
        if self._patrol is None:
            self._patrol = self._loop.call_later(PATROL_SECONDS, self._refuse_late)

    def _hand_in(self, writer: SqliteWriter) -> None:
        """Hand the requests of this tick to the thread, all at once."""
        if self._fresh:
            writer.hand_in(self._fresh)
            self._fresh = []

    def _settle(self, batch: Sequence[WriterRequest[Any]]) -> None:
        """Deliver and answer, in the order of the requests."""
        self._is_late = False
        for request in batch:
            self._in_flight.popleft()
            self._bytes -= request.size
            request.settle()

    def _refuse_late(self) -> None:
        """Fail requests that were not done in time; messages stored later are delivered."""
        self._patrol = None
        self._is_late = self._refuse_asked_until(
            self._loop.time() + 2 * PATROL_SECONDS - ANSWER_SECONDS
        )
        if self._in_flight:
            self._patrol = self._loop.call_later(PATROL_SECONDS, self._refuse_late)

    def _refuse_asked_until(self, when: float) -> bool:
        """Refuse the requests that were made by then; return whether there were any."""
        late = list(itertools.takewhile(lambda one: one.asked_at <= when, self._in_flight))
        for request in late:
            tell(request.reply, EngineError("the disk has not answered in time"))
        return bool(late)
