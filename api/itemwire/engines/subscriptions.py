"""The channels that a node hears through an engine whose live messages may get lost.

Each is followed; whenever something may be missing its history is read, and what was missing is
delivered before what comes next. Knows no client: an engine gives it a `Source` and tells it what
arrives.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, Protocol

from itemwire.engines.base import Answer, EngineError, History, Sink, Span
from itemwire.engines.callbacks import in_time
from itemwire.engines.stream_follower import StreamFollower
from itemwire.messages import Position, Publication

HOLE_SECONDS: Final = 0.05  # what is missing may only be late
RETRY_SECONDS: Final = 0.5
MAX_CHECKS: Final = 256  # at once
MAX_FILL: Final = 1000  # messages in one answer


class ChannelSource(Protocol):
    """Where the messages come from."""

    def hear(self, channel: str) -> None:
        """Begin to listen; `confirmed` is called each time that holds, or holds again."""
        ...

    def leave(self, channel: str) -> None:
        """Listen no more."""
        ...

    def look_up(self, channel: str, span: Span, answer: Answer[History]) -> None:
        """Read a part of the history."""
        ...


class Subscriptions:
    """Follows the channels that were subscribed to."""

    def __init__(self, source: ChannelSource, sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._followed: dict[str, StreamFollower[Publication]] = {}
        self._subscribing: dict[str, list[Answer[None]]] = {}
        self._behind: OrderedDict[str, None] = OrderedDict()  # to be read ahead of all others
        self._to_compare: OrderedDict[str, None] = OrderedDict()
        self._checking: set[str] = set()
        self._again: set[str] = set()  # asked for while it was being read
        self._failed: set[str] = set()
        self._late: set[str] = set()

    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        """Follow a channel; answer once it is known from where on."""
        following = self._followed.get(channel)
        if following is not None and following.position is not None:
            answer(None)
            return
        self._subscribing.setdefault(channel, []).append(in_time(answer))
        if following is None:
            self._followed[channel] = StreamFollower(channel, self._sink.deliver, self._sink.lose)
            self._source.hear(channel)

    def unsubscribe(self, channel: str) -> None:
        """Follow it no more."""
        following = self._followed.pop(channel, None)
        if following is None:
            return
        self._source.leave(channel)
        self._answer_subscribers(channel, EngineError("the channel was left meanwhile"))
        following.leave()

    def stop(self) -> None:
        """Follow nothing any more."""
        for channel in list(self._followed):
            self.unsubscribe(channel)

    def confirmed(self, channel: str) -> None:
        """Hear that the source listens from now on: what was sent until now may be missing."""
        following = self._followed.get(channel)
        if following is not None:
            following.doubt()
            self._check(channel)

    def needs(self, channel: str, epoch: str, offset: int) -> bool:
        """Tell whether a message is new here, so that the others need not even be read."""
        following = self._followed.get(channel)
        return following is not None and not following.knows(epoch, offset)

    def position_of(self, channel: str) -> Position | None:
        """Tell how far a channel was delivered here; None if it is not followed yet."""
        following = self._followed.get(channel)
        return None if following is None else following.position

    def offer(self, channel: str, epoch: str, message: Publication) -> None:
        """Take a message that was stored, by whatever way it came."""
        following = self._followed.get(channel)
        if following is None:
            return
        following.offer(epoch, message.offset, message)
        if following.is_behind:
            self._look_soon(channel)

    def answer_after(self, channel: str, history: History, answer: Answer[History]) -> None:
        """Answer what was read, not before all of it was delivered here that is going to be."""
        following, at = self._followed.get(channel), history.position
        if following is None or following.position is None or following.knows(at.epoch, at.offset):
            answer(history)
            return
        answer = in_time(answer)
        following.reach(at, lambda: answer(history))
        self._look_soon(channel)

    def check_all(self) -> None:
        """Compare every position with the source's: the last message may be the lost one."""
        self._to_compare.update(dict.fromkeys(self._followed))
        self._check_next()

    def _look_soon(self, channel: str) -> None:
        """Read what is missing, unless it comes by itself."""
        if channel not in self._late:
            self._late.add(channel)
            asyncio.get_running_loop().call_later(HOLE_SECONDS, self._look, channel)

    def _look(self, channel: str) -> None:
        self._late.discard(channel)
        following = self._followed.get(channel)
        if following is not None and following.is_behind:
            self._check(channel)

    def _check(self, channel: str) -> None:
        self._behind[channel] = None
        self._check_next()

    def _check_next(self) -> None:
        while (next_ := self._behind or self._to_compare) and len(self._checking) < MAX_CHECKS:
            channel, _ = next_.popitem(last=False)
            following = self._followed.get(channel)
            if channel in self._checking:
                self._again.add(channel)
            elif following is not None:
                self._checking.add(channel)
                position = following.position
                span = Span(0) if position is None else Span(MAX_FILL, after=position.offset)
                self._source.look_up(channel, span, self._filler(following, span))

    def _filler(self, following: StreamFollower[Publication], span: Span) -> Answer[History]:
        channel = following.channel

        def fill(history: History | EngineError) -> None:
            self._checking.discard(channel)
            is_asked_again = channel in self._again
            self._again.discard(channel)
            if isinstance(history, EngineError):
                self._retry(channel)
                return
            if self._followed.get(channel) is following:
                self._fill(following, span, history)
            if is_asked_again:
                self._behind[channel] = None
            asyncio.get_running_loop().call_soon(self._check_next)

        return fill

    def _fill(self, following: StreamFollower[Publication], span: Span, history: History) -> None:
        found = history.publications
        following.fill(
            history.position,
            ((one.offset, one) for one in found),
            is_cut=len(found) == span.limit > 0,
        )
        self._answer_subscribers(following.channel, None)
        if following.is_behind:
            self._look_soon(following.channel)

    def _answer_subscribers(self, channel: str, result: EngineError | None) -> None:
        for answer in self._subscribing.pop(channel, ()):
            answer(result)

    def _retry(self, channel: str) -> None:
        """Read it again later, together with all others that could not be read."""
        if not self._failed:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry_failed)
        self._failed.add(channel)

    def _retry_failed(self) -> None:
        failed, self._failed = self._failed, set()
        self._behind.update(dict.fromkeys(failed))
        self._check_next()
