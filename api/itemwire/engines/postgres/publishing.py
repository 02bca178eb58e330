"""What waits to be stored in PostgreSQL: all of a loop tick in one commit.

A channel that another transaction holds does not keep the others waiting: what is published to it
goes to a second connection, one such channel after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from itemwire.engines.base import ANSWER_SECONDS, EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.postgres.link import ChannelLocked, PostgresConnection, StatementRefused
from itemwire.engines.storage_format import bytes_of
from itemwire.engines.tasks import end
from itemwire.messages import Draft

PUBLISH: Final = 'SELECT epoch, "offset", is_new FROM itemwire.publish_all($1,$2,$3,$4,$5,$6,$7,$8)'

MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 32 * 1_048_576
MAX_BATCH: Final = 500
MAX_BATCH_BYTES: Final = 4 * 1_048_576


Row = tuple[str, str | None, str | None, float | None, int | None, bytes | None, str | None]
"""Channel, item, sender, time, kind, data, key; without data the channel is only made."""


class StoredPosition(NamedTuple):
    """Where a message went."""

    epoch: str
    offset: int
    is_new: bool


@dataclass(slots=True, eq=False)
class PostgresPublish:
    """A message that waits."""

    row: Row
    answer: Callable[[StoredPosition | EngineError], None]
    until: float

    @property
    def channel(self) -> str:
        """Name the channel it goes to."""
        return self.row[0]

    @property
    def size(self) -> int:
        """Count the bytes that wait."""
        return len(self.row[5] or b"")

    @property
    def mark(self) -> tuple[str, str] | None:
        """Give what must not be twice in one batch."""
        key = self.row[6]
        return None if key is None else (self.row[0], key)


class PublishBatch:
    """Messages that one statement stores."""

    def __init__(self) -> None:
        self.asked: list[PostgresPublish] = []
        self._bytes = 0
        self._marks: set[tuple[str, str]] = set()

    def takes(self, asked: PostgresPublish) -> bool:
        """Take one more, if it fits."""
        mark, size = asked.mark, asked.size
        if self.asked and (
            len(self.asked) >= MAX_BATCH
            or self._bytes + size > MAX_BATCH_BYTES
            or mark in self._marks
        ):
            return False
        self.asked.append(asked)
        self._bytes += size
        if mark is not None:
            self._marks.add(mark)
        return True


class PostgresPublisher:
    """Stores messages in the order they came in, channel by channel."""

    def __init__(
        self,
        quick: PostgresConnection,
        patient: PostgresConnection,
        doubt: Callable[[Iterable[str]], None],
    ) -> None:
        self._quick = quick
        self._patient = patient
        self._doubt = doubt
        self._waiting: deque[PostgresPublish] = deque()
        self._busy: dict[str, deque[PostgresPublish]] = {}
        self._is_asked = asyncio.Event()
        self._is_busy = asyncio.Event()
        self._count = 0
        self._bytes = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_running(self) -> bool:
        """Tell whether it stores what is asked."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    def start(self) -> None:
        """Begin to store."""
        self._tasks = [
            asyncio.create_task(self._serve_waiting()),
            asyncio.create_task(self._serve_busy()),
        ]

    async def stop(self) -> None:
        """Store no more; whoever waits is told."""
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        left = [*self._waiting, *(one for calls in self._busy.values() for one in calls)]
        self._waiting.clear()
        self._busy.clear()
        self._answer_all(left, EngineError("the engine was stopped"))

    def ask(
        self,
        channel: str,
        draft: Draft | None,
        answer: Callable[[StoredPosition | EngineError], None],
    ) -> None:
        """Store a message, or make its channel; answer once, however late."""
        until = asyncio.get_running_loop().time() + ANSWER_SECONDS
        try:
            asked = PostgresPublish(_row_of(channel, draft), answer, until)
        except ValueError as error:
            answer(EngineError(f"the message cannot be stored: {error}"))
            return
        if not self._tasks or not self._quick.is_connected:
            answer(EngineError("the engine is away"))
        elif self._count >= MAX_WAITING or self._bytes + asked.size > MAX_WAITING_BYTES:
            answer(EngineError("more waits for the engine than there is room for"))
        else:
            self._count += 1
            self._bytes += asked.size
            self._waiting.append(asked)
            self._is_asked.set()

    async def _serve_waiting(self) -> None:
        while True:
            await self._is_asked.wait()
            self._is_asked.clear()
            while batch := self._next_batch():
                try:
                    rows = await self._quick.fetch(PUBLISH, *_columns(batch), False)
                except StatementRefused:  # perhaps for one of them: find out which
                    self._put_by(batch)
                except EngineError as error:
                    self._fail(batch, error)
                except asyncio.CancelledError:
                    self._answer_all(batch, EngineError("the engine was stopped"))
                    raise
                else:
                    self._put_by(self._answer_stored(batch, rows))

    def _next_batch(self) -> list[PostgresPublish]:
        """Take what is next, and leave for later what is of a channel that others wait for."""
        batch = PublishBatch()
        while self._waiting:
            asked = self._waiting[0]
            if asked.channel in self._busy:
                self._busy[asked.channel].append(asked)
            elif not batch.takes(asked):
                break
            self._waiting.popleft()
        return batch.asked

    def _put_by(self, batch: list[PostgresPublish]) -> None:
        for asked in batch:
            self._busy.setdefault(asked.channel, deque()).append(asked)
            self._is_busy.set()

    async def _serve_busy(self) -> None:
        while True:
            await self._is_busy.wait()
            self._is_busy.clear()
            while self._busy:
                channel, calls = next(iter(self._busy.items()))
                await self._serve_channel(calls)
                del self._busy[channel]
                if calls:
                    self._busy[channel] = calls  # behind the others

    async def _serve_channel(self, calls: deque[PostgresPublish]) -> None:
        """Store what waits for one channel, or wait a little for it."""
        now = asyncio.get_running_loop().time()
        late = [calls.popleft() for _ in range(len(calls)) if calls[0].until < now]
        self._fail(late, EngineError("another transaction holds the channel"))
        taken = PublishBatch()
        while calls and taken.takes(calls[0]):
            calls.popleft()
        batch = taken.asked
        if not batch:
            return
        try:
            rows = await self._patient.fetch(PUBLISH, *_columns(batch), True)
        except ChannelLocked:
            calls.extendleft(reversed(batch))
        except EngineError as error:
            self._fail(batch, error)
        except asyncio.CancelledError:
            self._answer_all(batch, EngineError("the engine was stopped"))
            raise
        else:
            calls.extendleft(reversed(self._answer_stored(batch, rows)))

    def _answer_stored(
        self, batch: list[PostgresPublish], rows: list[Any]
    ) -> list[PostgresPublish]:
        """Tell where each went; give those that went nowhere."""
        unstored = []
        for asked, (epoch, offset, is_new) in zip(batch, rows, strict=True):
            if epoch is None:
                unstored.append(asked)
            else:
                self._answer(asked, StoredPosition(epoch, offset, is_new))
        return unstored

    def _fail(self, batch: list[PostgresPublish], error: EngineError) -> None:
        """Say that nobody knows; what was stored all the same is still to be delivered."""
        self._answer_all(batch, error)
        self._doubt({asked.channel for asked in batch})

    def _answer_all(self, batch: Iterable[PostgresPublish], result: EngineError) -> None:
        for asked in batch:
            self._answer(asked, result)

    def _answer(self, asked: PostgresPublish, result: StoredPosition | EngineError) -> None:
        self._count -= 1
        self._bytes -= asked.size
        tell(asked.answer, result)


def _columns(batch: list[PostgresPublish]) -> tuple[list[Any], ...]:
    """Write a batch as the arrays that the server's function takes."""
    return tuple(list(column) for column in zip(*(one.row for one in batch), strict=True))


def _row_of(channel: str, draft: Draft | None) -> Row:
    """Write a message as it is stored; ValueError if no server could take it."""
    if draft is None:
        return channel, None, None, None, None, None, None
    kind, data = bytes_of(draft.data)
    for text in (channel, draft.item, draft.sender, draft.key or ""):
        if b"\0" in text.encode():
            raise ValueError("the engine stores no name with a zero character")
    return channel, draft.item, draft.sender, draft.sent_at, kind, data, draft.key
