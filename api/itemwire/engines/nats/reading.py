"""Reads histories from JetStream: a channel's records, once for all concurrent readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from nats.aio.msg import Msg

from itemwire.engines.base import (
    Answer,
    Bounds,
    ChannelBounds,
    EngineError,
    History,
    Span,
    read_of_nothing,
)
from itemwire.engines.callbacks import begun_in_time, tell
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.jetstream import (
    last_of,
    sequence_of,
    stored_of,
    time_of,
)
from itemwire.engines.nats.records import LastRecord, Record, StreamMessage, kept_of
from itemwire.engines.nats.stream_pages import Page, StreamPages
from itemwire.engines.nats.streams import JetStreams
from itemwire.engines.networked import NO_ROOM
from itemwire.messages import Position, Publication

MAX_WAITING: Final = 10_000
MAX_READING: Final = 32  # channels at once: a history is up to twice its bound

MakeEpoch = Callable[[str, LastRecord, Answer[Position]], None]
"""Begins an epoch of a channel behind the record that was found last; answers its position."""


class NatsRead(NamedTuple):
    """A history to read, and the callback for it."""

    span: Span
    is_live: bool
    answer: Answer[History]
    asked_at: float


class FoundRecords(NamedTuple):
    """The records of a channel's epoch, each with the time when it was stored."""

    last: LastRecord
    records: list[tuple[float, Record]]


TakeFound = Callable[[FoundRecords | EngineError], None]


class NatsHistoryReader:
    """Reads histories within their bounds, though more than that may be stored."""

    def __init__(
        self,
        connection: NatsConnection,
        streams: JetStreams,
        bounds: ChannelBounds,
        make_epoch: MakeEpoch,
        remember: Callable[[str, LastRecord], None],
    ) -> None:
        self._connection = connection
        self._names = streams.names
        self._streams = streams
        self._pages = StreamPages(connection, streams)
        self._bounds = bounds
        self._make_epoch = make_epoch
        self._remember = remember
        self._waiting: dict[str, list[NatsRead]] = {}
        self._to_read: deque[str] = deque()
        self._reading: set[str] = set()
        self._count = 0

    def ask(
        self, channel: str, span: Span, answer: Answer[History], *, is_live: bool = False
    ) -> None:
        """Read a part of a history; with `is_live`, of everything that is still stored."""
        if self._count >= MAX_WAITING:
            answer(EngineError(NO_ROOM))
            return
        self._count += 1
        if channel not in self._waiting:
            self._to_read.append(channel)
        read = NatsRead(span, is_live, answer, asyncio.get_running_loop().time())
        self._waiting.setdefault(channel, []).append(read)
        self._read_next()

    def _read_next(self) -> None:
        for _ in range(len(self._to_read)):
            if len(self._reading) >= MAX_READING:
                return
            channel = self._to_read.popleft()
            if channel in self._reading:
                # Its read may be older than the request: those who wait share the next one.
                self._to_read.append(channel)
                continue
            self._reading.add(channel)
            self._read(channel, self._waiting.pop(channel))

    def _read(self, channel: str, reads: list[NatsRead]) -> None:
        def done(found: FoundRecords | EngineError) -> None:
            self._reading.discard(channel)
            self._count -= len(reads)
            if isinstance(found, EngineError):
                _tell_all(reads, found)
            elif found.last.epoch.startswith(self._streams.life):
                self._remember(channel, found.last)
                self._answer_all(found, reads, self._bounds.of(channel))
            else:
                self._begin_epoch(channel, found.last, reads)
            asyncio.get_running_loop().call_soon(self._read_next)  # no recursion

        if all(one.span.limit == 0 for one in reads):
            is_retained = any(one.span.retained for one in reads)
            self._read_last(channel, done, is_whole=is_retained)
        else:
            self._read_all(channel, 1, [], done)

    def _read_last(self, channel: str, done: TakeFound, *, is_whole: bool) -> None:
        def have_read(reply: list[Msg] | EngineError) -> None:
            stored = stored_of(reply)
            if isinstance(stored, EngineError):
                done(stored)
                return
            record = Record.read(stored.data) if is_whole and stored else None
            records = [(stored.time, record)] if stored and record else []
            done(FoundRecords(LastRecord.found(stored), records))

        subject = self._names.channel(channel)
        self._connection.ask(*last_of(self._names.channels, subject), have_read)

    def _read_all(self, channel: str, begin: int, before: list[Msg], done: TakeFound) -> None:
        """Read all records of a channel, in as many answers as they need."""

        def have_read(page: Page | EngineError) -> None:
            if isinstance(page, EngineError):
                done(page)
                return
            messages, read_on_at = page
            if read_on_at:
                self._read_all(channel, read_on_at, before + messages, done)
            else:
                done(_found_in(before + messages))

        subject = self._names.channel(channel)
        limit = self._streams.record_limit
        self._pages.ask(self._names.channels, subject, begin, limit, have_read)

    def _answer_all(self, found: FoundRecords, reads: list[NatsRead], bounds: Bounds) -> None:
        for read in reads:
            try:
                history: History | EngineError = self._history_of(found, read, bounds)
            except ValueError as error:
                history = EngineError(str(error))
            tell(read.answer, history)

    def _history_of(self, found: FoundRecords, read: NatsRead, bounds: Bounds) -> History:
        last, span = found.last, read.span
        after, before = span.within(last.offset)
        there = self._publications_of(found, read, bounds) if span.limit else []
        within = [one for one in there if after < one.offset < before]
        cut = within[-span.limit :] if span.after is None else within[: span.limit]
        publications = cut if span.limit else []
        is_asked = span.retained and not publications
        retained = self._retained_in(found, bounds) if is_asked else None
        return History.of(Position(last.epoch, last.offset), publications, span, retained)

    def _retained_in(self, found: FoundRecords, bounds: Bounds) -> Publication | None:
        """Return the channel's last message if its record is still there, and it is retained."""
        time, record = found.records[-1] if found.records else (0.0, None)
        if not bounds.retained or record is None or time < self._streams.now - bounds.retained:
            return None
        return next(record.publications(found.last.offset - 1), None)

    def _publications_of(
        self, found: FoundRecords, read: NatsRead, bounds: Bounds
    ) -> list[Publication]:
        if read.is_live:
            after = read.span.after or 0
            return [one for _, record in found.records for one in record.publications(after)]
        oldest = self._streams.now - bounds.seconds
        return [
            one
            for time, record in found.records
            if time >= oldest
            for one in kept_of(record, found.last, bounds.messages, bounds.bytes)
        ]

    def _begin_epoch(self, channel: str, last: LastRecord, reads: list[NatsRead]) -> None:
        def begun(position: Position | EngineError) -> None:
            if isinstance(position, EngineError):
                _tell_all(reads, read_of_nothing(position))
            elif position.offset == 0:  # there is nothing to read
                _tell_all(reads, History(position, [], complete=True))
            else:
                for read in reads:
                    self.ask(channel, read.span, read.answer, is_live=read.is_live)

        self._make_epoch(channel, last, begun_in_time(begun, reads[0].asked_at))


def _found_in(messages: list[Msg]) -> FoundRecords:
    """Return the records of the epoch of the last one."""
    records: list[tuple[float, Record]] = []
    for message in messages:
        record = Record.read(message.data)
        if record is None or (records and records[-1][1].epoch != record.epoch):
            records.clear()
        if record is not None:
            records.append((time_of(message), record))
    if not messages:
        return FoundRecords(LastRecord.found(None), [])
    last = messages[-1]
    stored = StreamMessage(sequence_of(last), time_of(last), last.data)
    return FoundRecords(LastRecord.found(stored), records)


def _tell_all(reads: Iterable[NatsRead], result: History | EngineError) -> None:
    for read in reads:
        tell(read.answer, result)
