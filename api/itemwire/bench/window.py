"""One window of messages: what was sent, who heard how much of it, and how late."""

import time
from collections.abc import Callable
from typing import Final

from itemwire.bench.frames import Stationery
from itemwire.bench.histogram import Histogram

NOBODY: Final = -1


class Window:
    """What all sockets of one measured window share."""

    __slots__ = (
        "completed",
        "disordered",
        "frame_size",
        "last",
        "latency",
        "mark",
        "on_complete",
        "sent",
        "stationery",
    )

    def __init__(self, stationery: Stationery) -> None:
        self.stationery = stationery
        self.mark = stationery.mark
        self.frame_size = NOBODY
        """The size of the last frame with one message: most others are alike."""
        self.latency = Histogram()
        self.sent = 0
        self.completed = 0
        self.disordered = 0
        """Deliveries in the sample that were not the next message of their item."""
        self.last = time.perf_counter_ns()
        self.on_complete: Callable[[int], None] = _do_nothing

    @property
    def in_flight(self) -> int:
        """How many messages somebody has yet to hear."""
        return self.sent - self.completed

    def complete(self, messages: int) -> None:
        """Take note that so many messages have reached everyone."""
        self.completed += messages
        self.last = time.perf_counter_ns()
        self.on_complete(messages)


class Item:
    """One channel: its messages, and how many of its subscribers have heard how many.

    A message is complete when its last subscriber has heard it. That is read off the counts of
    all, without a look at any single message: the lowest count is kept by counting the counts.
    """

    __slots__ = ("_completed", "_having", "_lowest", "published", "sent_at", "window")

    def __init__(self, window: Window, subscribers: int) -> None:
        self.window = window
        self.published = 0
        self.sent_at: dict[int, int] = {}
        """When each message that is not complete was sent or due, in nanoseconds."""
        self._completed = 0
        self._lowest = 0
        self._having = {0: subscribers}

    def next_message(self, now: int) -> bytes:
        """Give the frame of the next message, sent (or due) now."""
        number = self.published
        self.published = number + 1
        self.sent_at[number] = now
        self.window.sent += 1
        return self.window.stationery.frame(number)

    def advance(self, before: int, after: int) -> None:
        """Move one subscriber's count."""
        having = self._having
        having[after] = having.get(after, 0) + 1
        left = having[before] - 1
        if left:
            having[before] = left
            return
        del having[before]
        if before == self._lowest:
            self._lowest = min(having)
            self._complete(min(self._lowest, self.published))  # more than that is repetition

    def _complete(self, up_to: int) -> None:
        for number in range(self._completed, up_to):
            self.sent_at.pop(number, None)
        messages, self._completed = up_to - self._completed, up_to
        if messages:
            self.window.complete(messages)


def _do_nothing(_messages: int) -> None:
    pass
