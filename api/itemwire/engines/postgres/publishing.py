"""Messages on their way into PostgreSQL: all of a loop tick in one commit.

A channel whose row another transaction holds does not keep the other channels waiting: what is
published to it goes to a second connection, one such channel after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from itemwire.engines.base import ANSWER_SECONDS, EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.faults import INVALID
from itemwire.engines.networked import AWAY, NO_ROOM
from itemwire.engines.postgres.client import Row
from itemwire.engines.postgres.connection import (
    ChannelLocked,
    PostgresConnection,
    StatementRefused,
)
from itemwire.engines.storage_format import columns_of, pack
from itemwire.engines.tasks import STOPPED, end
from itemwire.messages import Draft

PUBLISH: Final = 'SELECT epoch, "offset", is_new FROM itemwire.publish_all($1,$2,$3,$4,$5,$6,$7,$8)'

# Of several messages of a channel the last is retained; its row is locked until the commit.
PUBLISH_RETAINING: Final = """
WITH stored AS MATERIALIZED (
    SELECT * FROM itemwire.publish_all($1,$2,$3,$4,$5,$6,$7,$8) WITH ORDINALITY
        AS p (epoch, "offset", is_new, place)
), kept AS (
    INSERT INTO itemwire.kept_values (key, value, ends_at)
    SELECT DISTINCT ON (a.name) 'retained:' || a.name,
        convert_to(s."offset" || ' ' || s.epoch || ' ', 'UTF8') || a.packed,
        clock_timestamp() + make_interval(secs => a.seconds)
    FROM stored s JOIN unnest($1::text[], $9::bytea[], $10::double precision[]) WITH ORDINALITY
        AS a (name, packed, seconds, place) USING (place)
    WHERE s.is_new AND s.epoch IS NOT NULL AND a.packed IS NOT NULL
    ORDER BY a.name, s."offset" DESC
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at
)
SELECT epoch, "offset", is_new FROM stored ORDER BY place
"""

MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 32 * 1_048_576
MAX_BATCH: Final = 500
MAX_BATCH_BYTES: Final = 4 * 1_048_576


MessageRow = tuple[str, str | None, str | None, float | None, int | None, bytes | None, str | None]
"""Channel, item, sender, time, kind, data, key; without data the channel is only made."""


RetainedRow = tuple[bytes | None, float | None]
"""A message as it is retained, and for how many seconds."""

NOT_RETAINED: Final[RetainedRow] = (None, None)


class StoredPosition(NamedTuple):
    """Where a message was stored; `is_new` is false if its key had been stored before."""

    epoch: str
    offset: int
    is_new: bool


@dataclass(slots=True, eq=False)
class PostgresPublish:
    """A message that waits to be stored, and the callback for its position."""

    row: MessageRow
    answer: Callable[[StoredPosition | EngineError], None]
    deadline: float
    retained: RetainedRow = NOT_RETAINED

    @property
    def channel(self) -> str:
        """Return the channel it goes to."""
        return self.row[0]

    @property
    def size(self) -> int:
        """Return the bytes of its payload."""
        return len(self.row[5] or b"")

    @property
    def unique_key(self) -> tuple[str, str] | None:
        """Return what may be in a batch once only: the channel and the idempotency key."""
        key = self.row[6]
        return None if key is None else (self.row[0], key)


class PublishBatch:
    """Messages that one statement stores."""

    def __init__(self) -> None:
        self.publishes: list[PostgresPublish] = []
        self._bytes = 0
        self._keys: set[tuple[str, str]] = set()

    def add(self, publish: PostgresPublish) -> bool:
        """Add a message if it fits, and return whether it did; the first one always fits."""
        key, size = publish.unique_key, publish.size
        if self.publishes and (
            len(self.publishes) >= MAX_BATCH
            or self._bytes + size > MAX_BATCH_BYTES
            or key in self._keys
        ):
            return False
        self.publishes.append(publish)
        self._bytes += size
        if key is not None:
            self._keys.add(key)
        return True


class PostgresPublisher:
    """Stores messages in the order they came in, channel by channel.

    A message waits in one of two places. Most are in `_waiting`, and the quick connection stores
    them, many channels in one statement, which skips rows that are locked. A message that was
    skipped, or refused together with others, goes to `_locked` under its channel, and so does
    everything that is published to that channel after it, to keep the order. The patient
    connection serves these channels in turn: it waits a little for the lock, and if it does not
    get it, the channel goes behind the others until its messages are too old.
    """

    def __init__(
        self,
        quick: PostgresConnection,
        patient: PostgresConnection,
        mark_stale: Callable[[str], None],
    ) -> None:
        self._quick = quick
        self._patient = patient
        self._mark_stale = mark_stale
        self._waiting: deque[PostgresPublish] = deque()
        self._locked: dict[str, deque[PostgresPublish]] = {}
        self._has_waiting = asyncio.Event()
        self._has_locked = asyncio.Event()
        self._count = 0
        self._bytes = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_running(self) -> bool:
        """Return whether messages are being stored."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    def start(self) -> None:
        """Begin to store."""
        self._tasks = [
            asyncio.create_task(self._serve_waiting()),
            asyncio.create_task(self._serve_locked()),
        ]

    async def stop(self) -> None:
        """Store no more; what waits is refused."""
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        left = [*self._waiting, *(one for queue in self._locked.values() for one in queue)]
        self._waiting.clear()
        self._locked.clear()
        self._answer_all(left, EngineError(STOPPED))

    def ask(
        self,
        channel: str,
        draft: Draft | None,
        answer: Callable[[StoredPosition | EngineError], None],
        retained: float = 0,
    ) -> None:
        """Store a message, or without one make its channel; answer once, however late.

        With `retained` it is kept for so many seconds as the channel's last message as well.
        """
        deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
        try:
            publish = PostgresPublish(_row_of(channel, draft), answer, deadline)
            if retained and draft is not None:
                publish.retained = pack(draft), float(retained)
        except ValueError as error:
            answer(EngineError(f"the message cannot be stored: {error}", INVALID))
            return
        if not self._tasks or not self._quick.is_connected:
            answer(EngineError(AWAY))
        elif self._count >= MAX_WAITING or self._bytes + publish.size > MAX_WAITING_BYTES:
            answer(EngineError(NO_ROOM))
        else:
            self._count += 1
            self._bytes += publish.size
            self._waiting.append(publish)
            self._has_waiting.set()

    async def _serve_waiting(self) -> None:
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            while batch := self._next_batch():
                try:
                    rows = await self._quick.fetch(*_statement(batch, is_patient=False))
                except StatementRefused:  # perhaps because of one message: find out which
                    self._put_aside(batch)
                except EngineError as error:
                    self._fail(batch, error)
                except asyncio.CancelledError:
                    self._answer_all(batch, EngineError(STOPPED))
                    raise
                else:
                    self._put_aside(self._answer_stored(batch, rows))

    def _next_batch(self) -> list[PostgresPublish]:
        """Take what is next, and put aside what must stay behind others of its channel."""
        batch = PublishBatch()
        while self._waiting:
            publish = self._waiting[0]
            if publish.channel in self._locked:
                self._locked[publish.channel].append(publish)
            elif not batch.add(publish):
                break
            self._waiting.popleft()
        return batch.publishes

    def _put_aside(self, batch: list[PostgresPublish]) -> None:
        for publish in batch:
            self._locked.setdefault(publish.channel, deque()).append(publish)
            self._has_locked.set()

    async def _serve_locked(self) -> None:
        while True:
            await self._has_locked.wait()
            self._has_locked.clear()
            while self._locked:
                channel, queue = next(iter(self._locked.items()))
                await self._serve_channel(queue)
                del self._locked[channel]
                if queue:
                    self._locked[channel] = queue  # behind the other channels

    async def _serve_channel(self, queue: deque[PostgresPublish]) -> None:
        """Store what waits for one channel, or wait a little for its lock."""
        now = asyncio.get_running_loop().time()
        late = [queue.popleft() for _ in range(len(queue)) if queue[0].deadline < now]
        self._fail(late, EngineError("another transaction holds the channel"))
        taken = PublishBatch()
        while queue and taken.add(queue[0]):
            queue.popleft()
        batch = taken.publishes
        if not batch:
            return
        try:
            rows = await self._patient.fetch(*_statement(batch, is_patient=True))
        except ChannelLocked:
            queue.extendleft(reversed(batch))
        except EngineError as error:
            self._fail(batch, error)
        except asyncio.CancelledError:
            self._answer_all(batch, EngineError(STOPPED))
            raise
        else:
            queue.extendleft(reversed(self._answer_stored(batch, rows)))

    def _answer_stored(
        self, batch: list[PostgresPublish], rows: list[Row]
    ) -> list[PostgresPublish]:
        """Answer the messages that were stored, and return those that were not."""
        unstored: list[PostgresPublish] = []
        for publish, (epoch, offset, is_new) in zip(batch, rows, strict=True):
            if epoch is None:
                unstored.append(publish)
            else:
                self._answer(publish, StoredPosition(epoch, offset, is_new))
        return unstored

    def _fail(self, batch: list[PostgresPublish], error: EngineError) -> None:
        """Refuse messages; those that were stored nevertheless must still be delivered."""
        self._answer_all(batch, error)
        for channel in {publish.channel for publish in batch}:
            self._mark_stale(channel)

    def _answer_all(self, batch: Iterable[PostgresPublish], result: EngineError) -> None:
        for publish in batch:
            self._answer(publish, result)

    def _answer(self, publish: PostgresPublish, result: StoredPosition | EngineError) -> None:
        self._count -= 1
        self._bytes -= publish.size
        tell(publish.answer, result)


def _statement(batch: list[PostgresPublish], *, is_patient: bool) -> tuple[Any, ...]:
    """Return the statement that stores a batch, and its values."""
    values = (*_columns(one.row for one in batch), is_patient)
    if all(one.retained is NOT_RETAINED for one in batch):
        return PUBLISH, *values
    return PUBLISH_RETAINING, *values, *_columns(one.retained for one in batch)


def _columns(rows: Iterable[tuple[object, ...]]) -> list[list[Any]]:
    """Return rows as the arrays that the server's functions take."""
    return [list(column) for column in zip(*rows, strict=True)]


def _row_of(channel: str, draft: Draft | None) -> MessageRow:
    """Return a message as it is stored; ValueError if no server could take it."""
    if draft is None:
        return channel, None, None, None, None, None, None
    kind, data = columns_of(draft)
    sender = draft.sender or ""
    for text in (channel, draft.item, sender, draft.key or ""):
        if b"\0" in text.encode():
            raise ValueError("the engine stores no name with a zero character")
    return channel, draft.item, sender, draft.sent_at, kind, data, draft.key
