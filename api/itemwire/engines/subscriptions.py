"""The channels that a node subscribes to on an engine whose live messages can be lost.

Each channel is followed. Whenever something may be missing, its history is read, and what was
missing is delivered before what comes next. Nothing here knows a client library: an engine is a
`ChannelSource`, and reports what arrives.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Protocol

from itemwire.engines.base import Answer, EngineError, History, Sink, Span
from itemwire.engines.callbacks import in_time
from itemwire.engines.stream_follower import StreamFollower
from itemwire.messages import Position, Publication

HOLE_SECONDS: Final = 0.05  # a missing message may only be late
RETRY_SECONDS: Final = 0.5
MAX_CHECKS: Final = 256  # reads in flight
MAX_FILL: Final = 1000  # messages in one read
STEPS: Final = 10  # in which all channels are compared, if they are few
BATCH: Final = 100  # channels whose positions are looked for at once


class ChannelSource(Protocol):
    """Where the messages of channels come from."""

    def listen(self, channel: str) -> None:
        """Begin to listen; call `Subscriptions.begin_anew` each time listening has begun."""
        ...

    def leave(self, channel: str) -> None:
        """Listen no longer."""
        ...

    def fetch(self, channel: str, span: Span, answer: Answer[History]) -> None:
        """Read everything of a span that is still stored, even beyond the history's bounds."""
        ...

    def compare(self, channels: list[str]) -> None:
        """Look for each position, and call `Subscriptions.take_position` or `compare`."""
        ...

    def note_refusal(self, problem: EngineError) -> None:
        """Take note that a read failed; it is repeated until it does not."""
        ...


class Subscriptions:
    """Follows the channels that were subscribed to, and fills their holes.

    A channel is read when it is stale: after listening has begun, or begun anew; when a hole has
    not closed by itself; and when its position, compared now and then, is behind. Reads are limited
    to `MAX_CHECKS` at once. Stale channels are read first, since subscribers wait for
    them; those that are only compared come after.
    """

    def __init__(self, source: ChannelSource, sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._followed: dict[str, StreamFollower[Publication]] = {}
        self._subscribing: dict[str, list[Answer[None]]] = {}
        self._stale: OrderedDict[str, None] = OrderedDict()
        self._to_compare: OrderedDict[str, None] = OrderedDict()
        self._this_round: list[str] = []  # those that are yet to be compared
        self._reading: set[str] = set()
        self._read_again: set[str] = set()  # became stale while being read
        self._failed: set[str] = set()
        self._with_hole: set[str] = set()  # their timer runs

    def follows(self, channel: str) -> bool:
        """Return whether a channel was subscribed to, though perhaps not answered yet."""
        return channel in self._followed

    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        """Follow a channel; answer once the position it is followed from is known."""
        follower = self._followed.get(channel)
        if follower is not None and follower.position is not None:
            answer(None)
            return
        self._subscribing.setdefault(channel, []).append(in_time(answer))
        if follower is None:
            self._followed[channel] = StreamFollower(channel, self._sink.deliver, self._sink.lose)
            self._source.listen(channel)

    @property
    def has_waiting(self) -> bool:
        """Return whether a subscriber waits for its answer."""
        return bool(self._subscribing)

    def refuse_waiting(self, problem: EngineError) -> None:
        """Answer all that wait with an error; their channels are followed until they are left."""
        for channel in list(self._subscribing):
            self._answer_subscribers(channel, problem)

    def refuse(self, channel: str, problem: EngineError) -> None:
        """Answer those that wait for a channel with an error; it is followed until it is left."""
        self._answer_subscribers(channel, problem)

    def unsubscribe(self, channel: str) -> None:
        """Stop following a channel."""
        follower = self._followed.pop(channel, None)
        if follower is None:
            return
        self._source.leave(channel)
        self._answer_subscribers(channel, EngineError("the channel was left meanwhile"))
        follower.leave()

    def stop(self) -> None:
        """Stop following every channel."""
        for channel in list(self._followed):
            self.unsubscribe(channel)

    def mark_stale(self, channel: str) -> None:
        """Read a channel: messages up to now may have been missed."""
        follower = self._followed.get(channel)
        if follower is not None:
            follower.mark_stale()
            self._check(channel)

    def begin_anew(self, channel: str) -> None:
        """Take note that the channel is listened to: what came before that may be missing."""
        if channel in self._followed:
            self.mark_stale(channel)
            self._sink.miss(channel)

    def begin_all_anew(self) -> None:
        """Take note that everything is listened to anew; positions are compared besides."""
        for channel in list(self._followed):
            self._sink.miss(channel)

    def miss(self, channel: str) -> None:
        """Take note that something that was told on a channel was missed."""
        if channel in self._followed:
            self._sink.miss(channel)

    def hear(self, channel: str, words: bytes) -> None:
        """Hand on what was told on a channel, if it is followed."""
        if channel in self._followed:
            self._sink.hear(channel, words)

    def needs(self, channel: str, epoch: str, offset: int) -> bool:
        """Return whether a message is new here, so that others need not even be decoded."""
        follower = self._followed.get(channel)
        return follower is not None and not follower.has_passed(epoch, offset)

    def position_of(self, channel: str) -> Position | None:
        """Return the position up to which a channel was delivered; None before it is known."""
        follower = self._followed.get(channel)
        return None if follower is None else follower.position

    def receive(self, channel: str, epoch: str, message: Publication) -> None:
        """Take a stored message, on whichever way it came."""
        follower = self._followed.get(channel)
        if follower is None:
            return
        follower.receive(epoch, message.offset, message)
        if follower.is_behind:
            self._check_soon(channel)

    def answer_after(self, channel: str, history: History, answer: Answer[History]) -> None:
        """Answer a read once all that it contains has been delivered here.

        Otherwise a message of the history would reach the reader a second time, live.
        """
        follower, at = self._followed.get(channel), history.position
        if follower is None or follower.position is None:
            answer(history)
            return
        if follower.has_passed(at.epoch, at.offset):
            answer(history)
            return
        answer = in_time(answer)
        follower.call_at(at, lambda: answer(history))
        self._check_soon(channel)

    def compare_all(self) -> None:
        """Compare every position with the source's: a lost last message shows no hole."""
        self.compare(self._followed)

    def compare_some(self, rounds: int, most: int) -> None:
        """Compare a part of the positions, of which the next calls compare the others.

        All are compared in ten calls; but no more than `most` at once if that takes no more than
        ten times `rounds` calls.
        """
        if not self._this_round:
            self._this_round = list(self._followed)
        count = len(self._followed)
        share = min(_part(count, STEPS), max(most, _part(count, STEPS * rounds)))
        now, self._this_round = self._this_round[:share], self._this_round[share:]
        for first in range(0, len(now), BATCH):
            self._source.compare(now[first : first + BATCH])

    def compare(self, channels: Iterable[str]) -> None:
        """Compare these positions by reading each, when nothing more urgent is to be read."""
        self._to_compare.update(dict.fromkeys(channels))
        self._read_next()

    def take_position(self, channel: str, position: Position | None) -> None:
        """Take where a channel is by now: read it if that is further, or if nobody knows."""
        if position is None or self.needs(channel, position.epoch, position.offset):
            self.compare([channel])

    def _check_soon(self, channel: str) -> None:
        """Read what is missing, unless it arrives by itself within `HOLE_SECONDS`."""
        if channel not in self._with_hole:
            self._with_hole.add(channel)
            asyncio.get_running_loop().call_later(HOLE_SECONDS, self._check_hole, channel)

    def _check_hole(self, channel: str) -> None:
        self._with_hole.discard(channel)
        follower = self._followed.get(channel)
        if follower is not None and follower.is_behind:
            self._check(channel)

    def _check(self, channel: str) -> None:
        self._stale[channel] = None
        self._read_next()

    def _read_next(self) -> None:
        while (due := self._stale or self._to_compare) and len(self._reading) < MAX_CHECKS:
            channel, _ = due.popitem(last=False)
            follower = self._followed.get(channel)
            if channel in self._reading:
                # The read under way may be older than what made the channel stale.
                self._read_again.add(channel)
            elif follower is not None:
                self._reading.add(channel)
                position = follower.position
                # Before the first read only the position matters: history is for those who ask.
                span = Span(0) if position is None else Span(MAX_FILL, after=position.offset)
                self._source.fetch(channel, span, self._filler(follower, span))

    def _filler(self, follower: StreamFollower[Publication], span: Span) -> Answer[History]:
        channel = follower.channel

        def fill(history: History | EngineError) -> None:
            self._reading.discard(channel)
            must_read_again = channel in self._read_again
            self._read_again.discard(channel)
            if isinstance(history, EngineError):
                self._retry(channel)
                self._source.note_refusal(history)
                return
            if self._followed.get(channel) is follower:
                self._fill(follower, span, history)
            if must_read_again:
                self._stale[channel] = None
            asyncio.get_running_loop().call_soon(self._read_next)

        return fill

    def _fill(self, follower: StreamFollower[Publication], span: Span, history: History) -> None:
        found = history.publications
        follower.fill(
            history.position,
            ((one.offset, one) for one in found),
            is_cut=len(found) == span.limit > 0,
        )
        self._answer_subscribers(follower.channel, None)
        if follower.is_behind:
            self._check_soon(follower.channel)

    def _answer_subscribers(self, channel: str, result: EngineError | None) -> None:
        for answer in self._subscribing.pop(channel, ()):
            answer(result)

    def _retry(self, channel: str) -> None:
        """Read a channel again later, together with all others whose read has failed."""
        if not self._failed:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry_failed)
        self._failed.add(channel)

    def _retry_failed(self) -> None:
        failed, self._failed = self._failed, set()
        self._stale.update(dict.fromkeys(failed))
        self._read_next()


def _part(count: int, parts: int) -> int:
    """Return the size of each part, the last one smaller; at least 1."""
    return max(math.ceil(count / parts), 1)
