"""One window of messages: what was sent, how much each subscriber received, and how late."""

import time
from collections.abc import Callable
from typing import Final

from itemwire.bench.frames import Stationery
from itemwire.bench.histogram import LatencyHistogram

NOBODY: Final = -1


class Window:
    """The state that all sockets share during one measured window."""

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
        """The size of the last frame with one message: most frames have the same."""
        self.latency = LatencyHistogram()
        self.sent = 0
        self.completed = 0
        self.disordered = 0
        """Deliveries in the sample that were not the next message of their item in order."""
        self.last = time.perf_counter_ns()
        self.on_complete: Callable[[int], None] = _do_nothing

    @property
    def in_flight(self) -> int:
        """The number of messages that some subscriber has yet to receive."""
        return self.sent - self.completed

    def complete(self, messages: int) -> None:
        """Count messages that have reached all subscribers of their item."""
        self.completed += messages
        self.last = time.perf_counter_ns()
        self.on_complete(messages)


class Item:
    """One channel: its messages, and how many subscribers have received how many of them.

    A message is complete when its last subscriber has received it: when the lowest count of all
    subscribers reaches it. `_having` maps each count to the number of subscribers that have it, so
    the lowest count is known without a look at single messages.
    """

    __slots__ = ("_completed", "_having", "_lowest", "published", "sent_at", "window")

    def __init__(self, window: Window, subscribers: int) -> None:
        self.window = window
        self.published = 0
        self.sent_at: dict[int, int] = {}
        """For each incomplete message, when it was sent or due, in nanoseconds."""
        self._completed = 0
        self._lowest = 0
        self._having = {0: subscribers}

    def next_message(self, now: int) -> bytes:
        """Return the frame of the next message, which is sent (or due) now."""
        number = self.published
        self.published = number + 1
        self.sent_at[number] = now
        self.window.sent += 1
        return self.window.stationery.frame(number)

    def advance(self, before: int, after: int) -> None:
        """Move one subscriber from one count to a higher one."""
        having = self._having
        having[after] = having.get(after, 0) + 1
        left = having[before] - 1
        if left:
            having[before] = left
            return
        del having[before]
        if before == self._lowest:
            self._lowest = min(having)
            self._complete(min(self._lowest, self.published))  # a higher count means duplicates

    def _complete(self, up_to: int) -> None:
        for number in range(self._completed, up_to):
            self.sent_at.pop(number, None)
        messages, self._completed = up_to - self._completed, up_to
        if messages:
            self.window.complete(messages)


def _do_nothing(_messages: int) -> None:
    pass
