"""The engine of one process: everything is in its memory, and gone when it ends."""

import heapq
import secrets
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from msgspec import UNSET
from typing_extensions import override

from itemwire.engines.base import (
    KEY_SECONDS,
    NO_SINK,
    Answer,
    Bounds,
    ChannelBounds,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
    new_secret,
)
from itemwire.engines.faults import FULL
from itemwire.engines.retained import RetainedMessages
from itemwire.messages import Draft, Position, Publication, message_size

MAX_KEYS: Final = 10_000  # of a channel: a flood of new keys must not fill the memory
MAX_NOTICES: Final = 100_000
MAX_VALUES_BYTES: Final = 64 * 1_048_576  # of all values, with what each of them costs
VALUE_BYTES: Final = 600  # what a key and its entries in two collections cost

# What a history takes beside payloads and keys, as `sys.getsizeof` says, rounded up.
STREAM_BYTES: Final = 1_500
MESSAGE_BYTES: Final = 500
KEY_BYTES: Final = 300


def open_engine(_url: str, bounds: ChannelBounds) -> "MemoryEngine":
    """Return an engine; the URL says nothing beyond its scheme."""
    return MemoryEngine(bounds)


class MemoryEngine(Engine):
    """Keeps each channel's recent messages in this process.

    History is bounded by count, bytes and age. A channel without subscribers whose history has
    aged away is forgotten; if it comes back it has a new epoch. When all histories together
    exceed their bound, the channels that have been idle longest go first, then the messages that
    were retained longest; and then the channel that grows forgets its own oldest messages.
    """

    answers_at_once = True

    def __init__(
        self,
        bounds: ChannelBounds,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._bounds = bounds
        self._most_bytes = bounds.largest.total_bytes or sys.maxsize
        self._clock = clock
        self._deliver, self._apply, _, self._hear, _ = NO_SINK
        self._unix_clock = unix_clock
        self._notices: list[tuple[float, bytes]] = []  # a heap, by their end
        self._subscribed: dict[str, _Stream] = {}
        self._idle: OrderedDict[str, _Stream] = OrderedDict()  # the longest idle first
        self._retained = RetainedMessages()
        self._values = _Values()
        self._secret = new_secret()
        self._total = _Total()

    @property
    @override
    def is_available(self) -> bool:
        return True

    @override
    async def start(self, sink: Sink) -> None:
        self._deliver, self._apply, _, self._hear, _ = sink
        self._forget_ended_notices()
        for _, notice in sorted(self._notices):
            sink.apply(notice)

    @override
    async def stop(self) -> None:
        self._deliver, self._apply, _, self._hear, _ = NO_SINK

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        if channel not in self._subscribed:
            self._subscribed[channel] = self._idle_or_new(channel)
        self._forget_idle()
        answer(None)

    @override
    def unsubscribe(self, channel: str) -> None:
        stream = self._subscribed.pop(channel, None)
        if stream is not None:
            self._idle[channel] = stream
            stream.used_at = self._clock()
        self._forget_idle()

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        answer(self.publish_now(channel, draft))

    @override
    def publish_now(self, channel: str, draft: Draft) -> Position:
        now = self._clock()
        if self._idle:
            self._forget_idle()
        stream = heard = self._subscribed.get(channel)
        if stream is None:
            stream = self._touch(channel, now)
        if stream.keys is not None:
            first = stream.first_answer(draft.key, now)
            if first is not None:
                return first
        bounds = self._bounds.of(channel)
        publication = stream.append(draft, now, bounds)
        if bounds.retained:
            self._retained.keep(
                channel, stream.epoch, publication, now=now, seconds=bounds.retained
            )
        if self._total.bytes + self._retained.bytes > self._most_bytes:
            self._make_room(stream)
            stream.forget(self._excess)
        if heard is not None:
            self._deliver(channel, publication)
        return Position(stream.epoch, publication.offset)

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        now = self._clock()
        stream = self._subscribed.get(channel) or self._touch(channel, now)
        stream.trim(self._bounds.of(channel), now)
        self._make_room(stream)
        history = stream.read(span)
        if span.retained and not history.publications:
            found = self._retained.find(channel, history.position, now)
            history = replace(history, retained=found)
        answer(history)

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        stream = self._subscribed.get(channel) or self._idle.get(channel)
        if stream is not None:
            stream.erase()
        self._retained.discard(channel)
        answer(None)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._forget_ended_notices()
        if until > self._unix_clock():
            if len(self._notices) >= MAX_NOTICES:
                answer(EngineError("there is no room for another notice"))
                return
            heapq.heappush(self._notices, (until, notice))
        self._apply(notice)
        answer(None)

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        if channel in self._subscribed:
            self._hear(channel, words)
        answer(None)

    def _forget_ended_notices(self) -> None:
        while self._notices and self._notices[0][0] <= self._unix_clock():
            heapq.heappop(self._notices)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        if self._values.put(key, value, seconds, self._clock()):
            answer(None)
        else:
            answer(EngineError("more values are kept than the memory has room for", FULL))

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        answer(self._values.take(key, self._clock()))

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        answer(self._secret)

    def _idle_or_new(self, channel: str) -> "_Stream":
        if channel in self._idle:
            return self._idle.pop(channel)
        return _Stream(self._total)

    def _touch(self, channel: str, now: float) -> "_Stream":
        stream = self._idle_or_new(channel)
        stream.used_at = now
        self._idle[channel] = stream
        return stream

    def _forget_idle(self) -> None:
        """Drop streams that nobody can miss: idle for longer than their history and keys last."""
        idle_since = self._clock() - max(self._bounds.largest.seconds, KEY_SECONDS)
        while self._idle:
            oldest = next(iter(self._idle))
            if self._idle[oldest].used_at > idle_since:
                return
            self._idle.pop(oldest).drop()

    @property
    def _excess(self) -> int:
        """Return by how many bytes everything that is kept exceeds the bound."""
        return max(self._total.bytes + self._retained.bytes - self._most_bytes, 0)

    def _make_room(self, used: "_Stream") -> None:
        """Drop idle streams, then retained messages, until the bound is kept: the oldest first."""
        while self._excess:
            oldest = next(iter(self._idle.values()), used)
            if oldest is used:  # it was used just now, so it is the last of them
                break
            self._idle.popitem(last=False)
            oldest.drop()
        while self._excess and self._retained.forget_oldest():
            pass


class _Total:
    """The bytes that all streams of an engine take."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class _Stream:
    """One channel: its recent messages, and the keys they were published with."""

    __slots__ = (
        "_bytes",
        "_kept",
        "_key_bytes",
        "_offset",
        "_taken",
        "_total",
        "epoch",
        "keys",
        "used_at",
    )

    def __init__(self, total: "_Total") -> None:
        self.epoch = secrets.token_urlsafe(6)
        self.used_at = 0.0
        self._offset = 0
        self._bytes = 0
        self._key_bytes = 0
        # Most channels are quiet: an empty deque takes 760 bytes, and there may be 100,000.
        self._kept: deque[tuple[float, int, Publication]] | tuple[()] = ()
        self.keys: OrderedDict[str, tuple[float, int]] | None = None
        self._total = total
        self._taken = 0
        self._settle()

    def first_answer(self, key: str | None, now: float) -> Position | None:
        if self.keys is None:
            return None
        while self.keys:
            stored_at, _ = next(iter(self.keys.values()))
            if stored_at > now - KEY_SECONDS:
                break
            self._forget_key()
            self._settle()
        if key is None or key not in self.keys:
            return None
        return Position(self.epoch, self.keys[key][1])

    def append(self, draft: Draft, now: float, bounds: Bounds) -> Publication:
        """Append a message, and forget what is past the bounds."""
        self._offset = offset = self._offset + 1
        publication = Publication.of(draft, offset)
        data = draft.data
        is_plain = draft.meta is UNSET and (type(data) is not str or data.isascii())
        size = len(data) if is_plain else message_size(draft)
        kept = self._kept
        if not kept:
            kept = self._kept = deque()
        kept.append((now, size, publication))
        self._bytes = bytes_kept = self._bytes + size
        if draft.key is not None:
            self._remember(draft.key, now)
        if (
            len(kept) > bounds.messages
            or bytes_kept > bounds.bytes
            or kept[0][0] < now - bounds.seconds
        ):
            self.trim(bounds, now)  # which settles
        else:
            self._settle()
        return publication

    def _remember(self, key: str, now: float) -> None:
        if self.keys is None:
            self.keys = OrderedDict()
        self.keys[key] = (now, self._offset)
        self._key_bytes += len(key) + KEY_BYTES
        if len(self.keys) > MAX_KEYS:
            self._forget_key()

    def trim(self, bounds: Bounds, now: float) -> None:
        kept, oldest = self._kept, now - bounds.seconds
        while kept and (
            len(kept) > bounds.messages or self._bytes > bounds.bytes or kept[0][0] < oldest
        ):
            self._bytes -= kept.popleft()[1]
        self._kept = kept or ()
        self._settle()

    def forget(self, excess: int) -> None:
        """Free at least a number of bytes, or all there are: messages first, then keys."""
        goal = self._taken - excess
        while self._taken > goal and (self._kept or self.keys):
            if self._kept:
                self._bytes -= self._kept.popleft()[1]
            else:
                self._forget_key()
            self._settle()

    def erase(self) -> None:
        """Free all messages; what is published next has the next offset."""
        self._kept, self._bytes = (), 0
        self._settle()

    def drop(self) -> None:
        """Free everything: the stream is no longer used."""
        self._total.bytes -= self._taken

    def read(self, span: Span) -> History:
        after, before = span.within(self._offset)
        found = [one for _, _, one in self._kept if after < one.offset < before]
        if span.after is None:
            found = found[max(len(found) - span.limit, 0) :]
        else:
            found = found[: span.limit]
        return History.of(Position(self.epoch, self._offset), found, span)

    def _settle(self) -> None:
        """Update the total by what has been added or freed."""
        taken = STREAM_BYTES + self._bytes + MESSAGE_BYTES * len(self._kept) + self._key_bytes
        self._total.bytes += taken - self._taken
        self._taken = taken

    def _forget_key(self) -> None:
        if self.keys:
            key, _ = self.keys.popitem(last=False)
            self._key_bytes -= len(key) + KEY_BYTES


class _Values:
    """Values that wait to be taken, each until its time is over."""

    __slots__ = ("_bytes", "_ends", "_kept")

    def __init__(self) -> None:
        self._bytes = 0
        self._kept: dict[str, tuple[float, bytes]] = {}
        self._ends: list[tuple[float, str]] = []  # a heap, also of what was taken

    def put(self, key: str, value: bytes, seconds: float, now: float) -> bool:
        """Keep a value; return False if there is no room."""
        self._forget_until(now)
        if self._bytes + len(value) + VALUE_BYTES > MAX_VALUES_BYTES:
            return False
        until = now + seconds
        self._discard(key)
        self._kept[key] = until, value
        self._bytes += len(value) + VALUE_BYTES
        heapq.heappush(self._ends, (until, key))
        return True

    def take(self, key: str, now: float) -> bytes | None:
        """Return a value and forget it."""
        self._forget_until(now)
        return self._discard(key)

    def _discard(self, key: str) -> bytes | None:
        _, value = self._kept.pop(key, (0.0, None))
        self._bytes -= len(value or b"")
        return value

    def _forget_until(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            until, key = heapq.heappop(self._ends)
            self._bytes -= VALUE_BYTES
            if key in self._kept and self._kept[key][0] == until:
                self._discard(key)
