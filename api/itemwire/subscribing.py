"""Messages that the application's own code hears, as an asynchronous iterator."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
from msgspec import UNSET
from typing_extensions import override

from itemwire.messages import Gap, Publication, message_size

MAX_WAITING: Final = 1000
MAX_WAITING_BYTES: Final = 16 * 1_048_576


class MessagesLost(Exception):
    """Messages of an item are lost to this subscription; iterate again to go on behind them.

    They are those with the offsets from `first` to `last`. In a new `epoch` the offsets have begun
    anew, and everything before is lost as well.
    """

    def __init__(self, gap: Gap) -> None:
        super().__init__(f"the messages {gap.from_} to {gap.to} of {gap.item} are lost")
        self.item = gap.item
        self.epoch = gap.epoch
        self.first = gap.from_
        self.last = gap.to


@dataclass(frozen=True, slots=True)
class ItemMessage:
    """A message as code hears it: `data` is text, bytes, or what its JSON stands for.

    `meta` and `end` are what its publisher gave beside the data.
    """

    item: str
    offset: int
    sender: str | None
    sent_at: float
    data: Any
    meta: Mapping[str, str] | None = None
    end: bool = False

    @classmethod
    def of(cls, publication: Publication) -> Self:
        """Return a publication with its data decoded."""
        data: Any = publication.data
        if isinstance(data, msgspec.Raw):
            data = msgspec.json.decode(data)
        return cls(
            publication.item,
            publication.offset,
            publication.sender,
            publication.sent_at,
            data,
            None if publication.meta is UNSET else publication.meta,
            publication.end is True,
        )


class ItemMessages(AsyncIterator[ItemMessage]):
    """What is published to some items, in the order of each; it ends when the channels stop.

    Up to `MAX_WAITING` messages, of `MAX_WAITING_BYTES` together, wait for a reader that is slower
    than they come. Those past that are lost, which the reader is told in their place.
    """

    def __init__(self) -> None:
        self._waiting: deque[Publication | Gap] = deque()
        self._size = 0
        self._epochs: dict[str, str] = {}
        self._is_over = False
        self._news = asyncio.Event()

    def begin(self, item_id: str, epoch: str) -> None:
        """Note the epoch that the offsets of an item count in."""
        self._epochs.setdefault(item_id, epoch)

    def hear(self, event: Publication | Gap) -> None:
        """Take what was published, or that it was lost."""
        if isinstance(event, Gap):
            self._epochs[event.item] = event.epoch
            self._lose(event)
        elif self._has_room(message_size(event)):
            self._waiting.append(event)
            self._size += message_size(event)
        else:
            epoch = self._epochs.get(event.item, "")
            self._lose(Gap(event.item, epoch, event.offset, event.offset))
        self._news.set()

    def end(self) -> None:
        """Let the iteration end once everything that waits was read."""
        self._is_over = True
        self._news.set()

    @override
    async def __anext__(self) -> ItemMessage:
        """Return the next message; raises `MessagesLost` in the place of those that are lost."""
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        event = self._waiting.popleft()
        if isinstance(event, Gap):
            raise MessagesLost(event)
        self._size -= message_size(event)
        return ItemMessage.of(event)

    def _has_room(self, size: int) -> bool:
        is_alone = not self._waiting
        fits = self._size + size <= MAX_WAITING_BYTES and len(self._waiting) < MAX_WAITING
        return is_alone or fits

    def _lose(self, gap: Gap) -> None:
        """Put a gap behind what waits; one that ends just before it only becomes longer."""
        last = self._last_gap(gap.item)
        if last is not None and last.epoch == gap.epoch and last.to + 1 == gap.from_:
            self._waiting.remove(last)
            gap = Gap(gap.item, gap.epoch, last.from_, gap.to)
        self._waiting.append(gap)

    def _last_gap(self, item_id: str) -> Gap | None:
        """Return the gap that is the last of an item's events, if that is one."""
        for event in reversed(self._waiting):
            if event.item == item_id:
                return event if isinstance(event, Gap) else None
        return None
