"""Subscribers that count, and some that look.

Counting has to be cheap: a million deliveries a second leave a microsecond for each. A `Counter`
counts the marks of a chunk with `bytes.count`, and if the chunk is exactly so many frames of the
usual size, there is nothing else in it. Anything else (a ping, a frame of another size, one cut
in two) is taken apart frame by frame. Every delivery is counted, whatever the way.

A `Sampler` also reads the numbers in its messages: latency and order are those of the sample,
up to 32 subscribers in even steps through the order in which they connected, the last of them
included. A subscriber that missed one message and had another twice is found there only.
"""

import time
from typing import Final

from typing_extensions import override

from itemwire.bench.client import Listener
from itemwire.bench.frames import Frame, Stationery, numbers_in
from itemwire.bench.histogram import Histogram
from itemwire.bench.target import Dialect
from itemwire.bench.window import Item

SAMPLE: Final = 32


class Counter(Listener):
    """A subscriber that counts the messages of a window."""

    def __init__(self, item_number: int, dialect: Dialect) -> None:
        super().__init__(item_number, dialect)
        self.count = 0
        self.item: Item | None = None

    def begin(self, item: Item) -> None:
        """Count for this item's window from now on."""
        self.item = item
        self.count = 0

    @override
    def data_received(self, data: bytes) -> None:
        if self.item is None:
            self.frames(data)
            return
        window = self.item.window
        found = data.count(window.mark)
        if self._rest or found * window.frame_size != len(data):
            found = self._count_frames(data)
        if found:
            before = self.count
            self.count = after = before + found
            self.item.advance(before, after)

    def _count_frames(self, data: bytes) -> int:
        assert self.item is not None  # noqa: S101 - as the caller saw
        window = self.item.window
        total = 0
        for frame in self.frames(data):
            found = frame.payload.count(window.mark)
            if found == 1:
                window.frame_size = frame.size
            total += found
        return total


class Sampler(Counter):
    """A subscriber that looks at each message: which, and how late."""

    def __init__(self, item_number: int, dialect: Dialect) -> None:
        super().__init__(item_number, dialect)
        self._next = 0

    @override
    def begin(self, item: Item) -> None:
        super().begin(item)
        self._next = 0

    @override
    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        for frame in self.frames(data):
            self._look(frame, now)

    def _look(self, frame: Frame, now: int) -> None:
        item = self.item
        if item is None:
            return
        for number in numbers_in(frame.payload, item.window.mark):
            sent = item.sent_at.get(number)
            if sent is not None:
                item.window.latency.record(now - sent)
            item.window.disordered += number != self._next
            self._next = number + 1
            before = self.count
            self.count = before + 1
            item.advance(before, before + 1)


class Echoer(Listener):
    """A connection that is alone on its item: each message that comes back sends the next."""

    def __init__(self, item_number: int, dialect: Dialect) -> None:
        super().__init__(item_number, dialect)
        self.count = 0
        self.sent = 0
        self.going = False
        self._sent_at = 0
        self._message = b""
        self._mark = b"\0"
        self._latency = Histogram()

    def begin(self, stationery: Stationery, latency: Histogram) -> None:
        """Send the first message of a window."""
        self._message = stationery.frame(self.item_number)
        self._mark = stationery.mark
        self._latency = latency
        self.count = self.sent = 0
        self.going = True
        self._send(time.perf_counter_ns())

    @override
    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        found = sum(frame.payload.count(self._mark) for frame in self.frames(data))
        if not found:
            return
        self.count += found
        if self.count >= self.sent:
            self._latency.record(now - self._sent_at)
            if self.going:
                self._send(time.perf_counter_ns())

    def _send(self, now: int) -> None:
        self._sent_at = now
        self.sent += 1
        self.transport.write(self._message)
