"""What waits to be published to a channel, and how it is put together as one record."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from itemwire.engines.base import Answer, EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.nats.records import LastRecord, Record
from itemwire.messages import Draft, Position, message_size

MAX_BATCH: Final = 500
MAX_BATCH_BYTES: Final = 256 * 1024
RECORD_BYTES: Final = 4096  # what a record costs at most beside its messages and their keys


@dataclass(slots=True, eq=False)
class NatsPublish:
    """A message that waits to be stored, and the callback for its position.

    Without a draft nothing is published: the channel is only to exist, and its last record is not
    to be older than `oldest`.
    """

    draft: Draft | None
    packed: bytes
    answer: Answer[Position]
    deadline: float
    oldest: float = 0.0
    is_answered: bool = False

    @property
    def key(self) -> str | None:
        """Return its idempotency key."""
        return None if self.draft is None else self.draft.key

    @property
    def cost(self) -> int:
        """Return the bytes that it adds to a record."""
        key = self.key
        return len(self.packed) + 16 + (0 if key is None else 4 * len(key))

    def settle(self, result: Position | EngineError) -> None:
        """Answer, once."""
        if not self.is_answered:
            self.is_answered = True
            tell(self.answer, result)


@dataclass(slots=True, eq=False)
class ChannelQueue:
    """What waits for one channel, and the batch that is on its way as a record."""

    channel: str
    waiting: deque[NatsPublish] = field(default_factory=deque[NatsPublish])
    batch: list[NatsPublish] = field(default_factory=list[NatsPublish])
    sent_at: float = 0.0
    asked: int = 0  # the number of the request that stores the batch
    asked_for_turn_at: float = 0.0  # because other nodes publish there all the time
    yields_until: float = 0.0

    def take_batch(self, most: int) -> None:
        """Take as many messages as one record holds; a key may be in it once only."""
        batch: list[NatsPublish] = []
        keys: set[str] = set()
        size = RECORD_BYTES
        while self.waiting and len(batch) < MAX_BATCH:
            publish = self.waiting[0]
            key, size = publish.key, size + publish.cost
            if batch and (size > min(most, MAX_BATCH_BYTES) or key in keys):
                break
            if key is not None:
                keys.add(key)
            batch.append(self.waiting.popleft())
        self.batch = batch

    def put_back(self) -> None:
        """Let the batch wait again, before everything else."""
        self.waiting.extendleft(reversed(self.batch))
        self.batch = []

    def expire(self, late: EngineError, now: float) -> None:
        """Refuse what has waited too long; a batch that was sent may be stored nevertheless."""
        for publish in (*self.batch, *self.waiting):
            if publish.deadline > now:
                return
            publish.settle(late)


def record_of(
    batch: list[NatsPublish], last: LastRecord, life: str, node: str, epoch: str
) -> Record | None:
    """Return the record to store behind the last one; None if nothing needs to be stored.

    The epoch goes on, unless it belongs to another life of the store: then `epoch` begins.
    """
    messages = [publish for publish in batch if publish.draft is not None]
    is_new = not last.epoch or not last.epoch.startswith(life)
    if not messages and not is_new and all(publish.oldest <= last.time for publish in batch):
        return None
    first = 1 if is_new else last.offset + 1
    return Record(
        epoch=epoch if is_new else last.epoch,
        first=first,
        size_before=0 if is_new else last.size,
        size=sum(message_size(one.draft) for one in messages if one.draft is not None),
        node=node,
        messages=[publish.packed for publish in messages],
        keys={
            publish.key: offset
            for offset, publish in enumerate(messages, first)
            if publish.key is not None
        },
    )
