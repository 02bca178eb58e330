"""Subscribers: all count their messages, and a sample of them reads each one.

Counting has to be cheap: at a million deliveries a second, there is a microsecond for each. A
`Counter` counts the marks in a chunk with `bytes.count`. If the chunk is exactly as long as that
many frames of the usual size, nothing else is in it. Any other chunk (with a ping, a frame of
another size, or one cut in two) is parsed frame by frame. Both ways count every delivery.

A `SamplingCounter` also reads the numbers in its messages. Latency and order are measured on this
sample: up to 32 subscribers, evenly spaced in the order in which they connected, including the
last. Only there is it noticed if a subscriber missed one message and got another twice.
"""

import time
from typing import Final

from typing_extensions import override

from itemwire.bench.client import Listener
from itemwire.bench.frames import Frame, Stationery, numbers_in
from itemwire.bench.histogram import LatencyHistogram
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
        """Start to count for this item in a new window."""
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
        assert self.item is not None  # noqa: S101 - checked by the caller
        window = self.item.window
        total = 0
        for frame in self.frames(data):
            found = frame.payload.count(window.mark)
            if found == 1:
                window.frame_size = frame.size
            total += found
        return total


class SamplingCounter(Counter):
    """A subscriber that reads each message: its number, and how late it is."""

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
            self._sample(frame, now)

    def _sample(self, frame: Frame, now: int) -> None:
        item = self.item
        if item is None:
            return
        for number in numbers_in(frame.payload, item.window.mark):
            sent = item.sent_at.get(number)
            if sent is not None:
                item.window.latency.record(now - sent)
            item.window.disordered += number != self._next
            self._next = number + 1
            before: int = self.count
            self.count = before + 1
            item.advance(before, before + 1)


class Echoer(Listener):
    """A connection that is alone on its item, and sends the next message when one comes back."""

    def __init__(self, item_number: int, dialect: Dialect) -> None:
        super().__init__(item_number, dialect)
        self.count = 0
        self.sent = 0
        self.going = False
        self._sent_at = 0
        self._message = b""
        self._mark = b"\0"
        self._latency = LatencyHistogram()

    def begin(self, stationery: Stationery, latency: LatencyHistogram) -> None:
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
