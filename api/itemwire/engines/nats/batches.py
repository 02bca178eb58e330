"""What waits for a channel of the NATS engine, and how it is put together as one record."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from itemwire.engines.base import Answer, EngineError
from itemwire.engines.callbacks import LATE, tell
from itemwire.engines.nats.records import LastRecord, Record
from itemwire.messages import Draft, payload_size

MAX_BATCH: Final = 500
MAX_BATCH_BYTES: Final = 256 * 1024
RECORD_BYTES: Final = 4096  # what a record costs at most beside its messages and their keys


class Went(NamedTuple):
    """Where a message went."""

    epoch: str
    offset: int


@dataclass(slots=True, eq=False)
class NatsPublish:
    """A message that waits; without one, the channel is only to be there, and not to be old."""

    draft: Draft | None
    packed: bytes
    answer: Answer[Went]
    until: float
    oldest: float = 0.0
    is_answered: bool = False

    @property
    def key(self) -> str | None:
        """Give what it may be known by."""
        return None if self.draft is None else self.draft.key

    @property
    def cost(self) -> int:
        """Count the bytes that it adds to a record."""
        key = self.key
        return len(self.packed) + 16 + (0 if key is None else 4 * len(key))

    def tell(self, result: Went | EngineError) -> None:
        """Answer, once."""
        if not self.is_answered:
            self.is_answered = True
            tell(self.answer, result)


@dataclass(slots=True, eq=False)
class ChannelQueue:
    """What waits for one channel, and the record that is on its way."""

    channel: str
    waiting: deque[NatsPublish] = field(default_factory=deque)
    batch: list[NatsPublish] = field(default_factory=list)
    sent_at: float = 0.0
    called_at: float = 0.0  # for a turn, when others publish there all the time
    yields_until: float = 0.0

    def take_batch(self, most: int) -> None:
        """Take as many as one record holds; a key is in it once."""
        batch: list[NatsPublish] = []
        keys: set[str] = set()
        size = RECORD_BYTES
        while self.waiting and len(batch) < MAX_BATCH:
            asked = self.waiting[0]
            key, size = asked.key, size + asked.cost
            if batch and (size > min(most, MAX_BATCH_BYTES) or key in keys):
                break
            if key is not None:
                keys.add(key)
            batch.append(self.waiting.popleft())
        self.batch = batch

    def put_back(self) -> None:
        """Let the record wait again, ahead of the others."""
        self.waiting.extendleft(reversed(self.batch))
        self.batch = []

    def expire(self, now: float) -> None:
        """Tell those that have waited too long; what is on its way may be stored all the same."""
        late = EngineError(LATE)
        for asked in (*self.batch, *self.waiting):
            if asked.until > now:
                return
            asked.tell(late)


def record_of(
    batch: list[NatsPublish], tip: LastRecord, life: str, node: str, epoch: str
) -> Record | None:
    """Put what is asked together, behind the last record; None if that is as good as it is.

    An epoch of another life of the store is over: what comes next begins the one that is named.
    """
    messages = [asked for asked in batch if asked.draft is not None]
    is_over = not tip.epoch or not tip.epoch.startswith(life)
    if not messages and not is_over and all(asked.oldest <= tip.time for asked in batch):
        return None
    first = 1 if is_over else tip.offset + 1
    return Record(
        epoch=epoch if is_over else tip.epoch,
        first=first,
        size_before=0 if is_over else tip.size,
        size=sum(payload_size(asked.draft.data) for asked in messages if asked.draft is not None),
        node=node,
        messages=[asked.packed for asked in messages],
        keys={
            asked.key: offset
            for offset, asked in enumerate(messages, first)
            if asked.key is not None
        },
    )
