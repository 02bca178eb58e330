"""What is common to all engines whose store is a server that several nodes share.

Connections to the server break, and live messages get lost. The rules that follow from this are
written here once: what a start waits for, when the engine is available, what is refused during an
outage, and what is compared afterwards. An engine adds how its server is asked.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from typing_extensions import override

from itemwire.engines.base import (
    NO_SINK,
    PROBE,
    Answer,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
    UnfitEngine,
)
from itemwire.engines.callbacks import in_time
from itemwire.engines.notices import NoticeMark, NoticePage, NoticeReader, NoticeStore
from itemwire.engines.read_watch import ReadWatch, refused_read
from itemwire.engines.subscriptions import STEPS, ChannelSource, Subscriptions
from itemwire.engines.tasks import end, repeat
from itemwire.messages import Position

AWAY: Final = "the engine is away"
NO_ROOM: Final = "more waits for the engine than there is room for"
NO_ANSWER: Final = "no answer in time"
CONNECT_SECONDS: Final = 30.0  # in which a server that starts, too, must have begun to serve
START_SECONDS: Final = 10.0  # in which it must then have answered
AWAY_SECONDS: Final = 0.05  # between two looks whether the engine is away, while a join waits
MANY_SECONDS: Final = 60.0  # in which the positions are compared of however many channels
FEW: Final = 100  # channels that may be compared at a time, ahead of what that asks for
STALE_SECONDS: Final = 0.05  # before a replica that was behind is asked again

Routine = tuple[float, Callable[[], Awaitable[object]]]
"""Work that is repeated every so many seconds."""


class NetworkedEngine(Engine, ChannelSource, NoticeStore, ABC):
    """An engine on a server: reached, lost and reached again while the node serves."""

    def __init__(self, shown_url: str) -> None:
        self._shown_url = shown_url
        self._tasks: list[asyncio.Task[None]] = []
        self._subscriptions = Subscriptions(self, NO_SINK)
        self._is_watching = False
        self._reads = ReadWatch(self._try_reading)

    @property
    @abstractmethod
    def _notice_reader(self) -> NoticeReader:
        """Return the notices of this start."""
        ...

    @property
    @abstractmethod
    def _is_connected(self) -> bool:
        """Return whether every connection is there and everything that serves it runs."""
        ...

    @property
    @abstractmethod
    def _is_away(self) -> bool:
        """Return whether a request or a subscription would fail now, as a connection is lost."""
        ...

    @abstractmethod
    def _begin(self, sink: Sink) -> None:
        """Make the parts that live from this start to the next stop."""
        ...

    @abstractmethod
    async def _connect(self) -> None:
        """Connect, listen for notices and have them checked; EngineError says why not."""
        ...

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close every connection; pending callers get an error."""
        ...

    @abstractmethod
    def _routines(self) -> Iterable[Routine]:
        """Return what is repeated from the start to the stop."""
        ...

    @abstractmethod
    def _read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        """Read a part of a channel's history, within its bounds."""
        ...

    @property
    @override
    def is_available(self) -> bool:
        return bool(self._tasks) and self._is_connected and self._reads.problem is None

    @override
    async def start(self, sink: Sink) -> None:
        await self.stop()
        self._begin(sink)
        self._subscriptions = Subscriptions(self, sink)
        self._notice_reader.on_refusal = self.note_refusal
        self._reads.start()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connect()
            async with asyncio.timeout(START_SECONDS):
                # A node that does not know who was revoked must not serve.
                await self._notice_reader.synced()
        except (EngineError, TimeoutError) as error:
            reason = str(error) or self._start_problem() or self._notice_reader.problem or NO_ANSWER
            await self.stop()
            kind = UnfitEngine if isinstance(error, UnfitEngine) else EngineError
            raise kind(f"cannot use {self._shown_url}: {reason}") from None
        self._tasks = [asyncio.create_task(repeat(*routine)) for routine in self._routines()]

    def _start_problem(self) -> str:
        """Return why a start was not over in time, as far as connections know; else ""."""
        return ""

    @override
    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        self._reads.stop()
        self._notice_reader.stop()
        self._subscriptions.stop()
        await self._disconnect()

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        if self._is_deaf and not self._subscriptions.follows(channel):
            answer(EngineError(AWAY))
        else:
            self._subscriptions.subscribe(channel, answer)
            self._watch_waiting()

    @property
    def _is_deaf(self) -> bool:
        """Return whether who subscribes now would hear nothing."""
        return self._is_away or self._reads.problem is not None

    def _watch_waiting(self) -> None:
        """Look at whether the engine is away for as long as subscribers wait for an answer."""
        if not self._is_watching and self._subscriptions.has_waiting:
            self._is_watching = True
            asyncio.get_running_loop().call_later(AWAY_SECONDS, self._check_waiting)

    def _check_waiting(self) -> None:
        self._is_watching = False
        if self._is_deaf:
            self._subscriptions.refuse_waiting(EngineError(AWAY))
        self._watch_waiting()

    @override
    def unsubscribe(self, channel: str) -> None:
        self._subscriptions.unsubscribe(channel)

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        answer = in_time(answer)
        least = self._subscriptions.position_of(channel)

        def have_read(history: History | EngineError) -> None:
            if isinstance(history, EngineError):
                self.note_refusal(history)
                answer(refused_read(history))
            elif least is not None and _is_behind(history.position, least):
                # A replica has answered that lacks what was already delivered here.
                loop = asyncio.get_running_loop()
                loop.call_later(STALE_SECONDS, self._read, channel, span, have_read)
            else:
                self._subscriptions.answer_after(channel, history, answer)

        self._read(channel, span, have_read)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        def posted(problem: EngineError | None) -> None:
            if problem is not None:
                self.note_refusal(problem)
            answer(problem)

        self._notice_reader.post(notice, until, posted)

    @property
    @override
    def notice_mark(self) -> NoticeMark:
        return self._notice_reader.mark

    @override
    def read_notices(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        self._notice_reader.read(epoch, after, answer)

    @override
    def note_refusal(self, problem: EngineError) -> None:
        self._reads.take(problem)

    def _try_reading(self, answer: Answer[None]) -> None:
        """Read a channel that nobody publishes to, and notices; answer whether both may be."""

        def have_read(history: History | EngineError) -> None:
            if isinstance(history, EngineError):
                answer(history)
            else:
                self._notice_reader.try_reading(answer)

        self._read(PROBE, Span(1), have_read)

    def _comparing(self, seconds: float) -> Iterable[Routine]:
        """Compare everything with the store, as something may have been missed unnoticed.

        A part of the channels at a time, so that it is no burst: all of them in so many seconds,
        and where they are many in `MANY_SECONDS`.
        """
        rounds = max(round(MANY_SECONDS / seconds), 1)

        async def compare_some() -> None:
            self._subscriptions.compare_some(rounds, FEW)

        async def check_notices() -> None:
            self._notice_reader.check()

        return [(seconds / STEPS, compare_some), (seconds, check_notices)]

    @override
    def compare(self, channels: list[str]) -> None:
        self._subscriptions.compare(channels)

    def _compare_now(self) -> None:
        if self._tasks:
            self._notice_reader.check()
            self._subscriptions.compare_all()


def _is_behind(position: Position, least: Position) -> bool:
    return position.epoch == least.epoch and position.offset < least.offset
