"""What is read from JetStream: a channel's records, once for all who ask meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from nats.aio.msg import Msg

from itemwire.engines.base import Answer, Bounds, EngineError, History, Span
from itemwire.engines.callbacks import tell
from itemwire.engines.nats.jetstream import from_on, last_of, stored_of
from itemwire.engines.nats.link import NatsConnection
from itemwire.engines.nats.records import LastRecord, Record, StoredMessage, kept_of, tip_of
from itemwire.engines.nats.requests import STATUS
from itemwire.engines.nats.streams import JetStreams
from itemwire.messages import Position, Publication

MAX_WAITING: Final = 10_000
MAX_READING: Final = 32  # channels at once: a history is up to twice its bound
SEQUENCE: Final = "Nats-Sequence"
TIME: Final = "Nats-Time-Stamp"
PENDING: Final = "Nats-Num-Pending"
LAST: Final = "Nats-Last-Sequence"
NOTHING: Final = "404"
DONE: Final = "204"
STRANGE: Final = "JetStream does not answer as it should"

Make = Callable[[str, LastRecord, Answer[Position]], None]
"""Begins an epoch of a channel behind the record that was found last; answers where it stands."""


class NatsRead(NamedTuple):
    """A history that somebody waits for."""

    span: Span
    is_live: bool
    answer: Answer[History]


class FoundRecords(NamedTuple):
    """The records of a channel's epoch, each with when it was stored."""

    tip: LastRecord
    records: list[tuple[float, Record]]


class NatsHistoryReader:
    """Reads histories within the bounds, whatever is stored beyond them."""

    def __init__(
        self,
        link: NatsConnection,
        streams: JetStreams,
        bounds: Bounds,
        make: Make,
        saw: Callable[[str, LastRecord], None],
    ) -> None:
        self._link = link
        self._names = streams.names
        self._streams = streams
        self._bounds = bounds
        self._make = make
        self._saw = saw
        self._waiting: dict[str, list[NatsRead]] = {}
        self._to_read: deque[str] = deque()
        self._reading: set[str] = set()
        self._count = 0

    def ask(
        self, channel: str, span: Span, answer: Answer[History], *, is_live: bool = False
    ) -> None:
        """Read a part of a history; live, of all that is still there."""
        if self._count >= MAX_WAITING:
            answer(EngineError("more waits for the engine than there is room for"))
            return
        self._count += 1
        if channel not in self._waiting:
            self._to_read.append(channel)
        self._waiting.setdefault(channel, []).append(NatsRead(span, is_live, answer))
        self._read_next()

    def _read_next(self) -> None:
        for _ in range(len(self._to_read)):
            if len(self._reading) >= MAX_READING:
                return
            channel = self._to_read.popleft()
            if channel in self._reading:
                self._to_read.append(channel)
                continue
            self._reading.add(channel)
            self._read(channel, self._waiting.pop(channel))

    def _read(self, channel: str, asked: list[NatsRead]) -> None:
        def done(found: FoundRecords | EngineError) -> None:
            self._reading.discard(channel)
            self._count -= len(asked)
            if isinstance(found, EngineError):
                _fail(asked, found)
            elif found.tip.epoch.startswith(self._streams.life):
                self._saw(channel, found.tip)
                self._answer_all(found, asked)
            else:
                self._make_first(channel, found.tip, asked)
            asyncio.get_running_loop().call_soon(self._read_next)  # not deeper and deeper

        if all(one.span.limit == 0 for one in asked):
            self._read_last(channel, done)
        else:
            self._read_all(channel, 1, [], done)

    def _read_last(self, channel: str, done: Callable[[FoundRecords | EngineError], None]) -> None:
        def have_read(reply: list[Msg] | EngineError) -> None:
            stored = reply if isinstance(reply, EngineError) else stored_of(reply[0].data)
            done(stored if isinstance(stored, EngineError) else FoundRecords(tip_of(stored), []))

        subject = self._names.channel(channel)
        self._link.ask(*last_of(self._names.channels, subject), have_read)

    def _read_all(
        self,
        channel: str,
        begin: int,
        before: list[Msg],
        done: Callable[[FoundRecords | EngineError], None],
    ) -> None:
        """Read record after record; what one answer has no room for is asked for again."""

        def have_read(reply: list[Msg] | EngineError) -> None:
            if isinstance(reply, EngineError):
                done(reply)
                return
            *messages, end = reply
            headers = end.headers or {}
            if headers.get(STATUS) not in {NOTHING, DONE}:
                done(EngineError(STRANGE))
                return
            messages = before + messages
            if headers.get(STATUS) == DONE and int(headers.get(PENDING, 0)):
                self._read_all(channel, int(headers[LAST]) + 1, messages, done)
            else:
                done(_found_in(messages) if _are_whole(messages) else EngineError(STRANGE))

        subject = self._names.channel(channel)
        question = from_on(self._names.channels, subject, begin, self._streams.record_limit)
        self._link.ask(*question, have_read, is_many=True)

    def _answer_all(self, found: FoundRecords, asked: list[NatsRead]) -> None:
        for one in asked:
            try:
                history: History | EngineError = self._history_of(found, one)
            except ValueError as error:
                history = EngineError(str(error))
            tell(one.answer, history)

    def _history_of(self, found: FoundRecords, asked: NatsRead) -> History:
        tip, span = found.tip, asked.span
        after, before = span.within(tip.offset)
        there = self._publications_of(found, asked) if span.limit else []
        within = [one for one in there if after < one.offset < before]
        cut = within[-span.limit :] if span.after is None else within[: span.limit]
        return History.of(Position(tip.epoch, tip.offset), cut if span.limit else [], span)

    def _publications_of(self, found: FoundRecords, asked: NatsRead) -> list[Publication]:
        if asked.is_live:
            after = asked.span.after or 0
            return [one for _, record in found.records for one in record.publications(after)]
        bounds = self._bounds
        oldest = self._streams.now - bounds.seconds
        return [
            one
            for time, record in found.records
            if time >= oldest
            for one in kept_of(record, found.tip, bounds.messages, bounds.bytes)
        ]

    def _make_first(self, channel: str, tip: LastRecord, asked: list[NatsRead]) -> None:
        def made(position: Position | EngineError) -> None:
            if isinstance(position, EngineError):
                _fail(asked, position)
            elif position.offset == 0:  # there is nothing to read
                for one in asked:
                    tell(one.answer, History(position, [], complete=True))
            else:
                for one in asked:
                    self.ask(channel, one.span, one.answer, is_live=one.is_live)

        self._make(channel, tip, made)


def _found_in(messages: list[Msg]) -> FoundRecords:
    """Take the records of the last one's epoch."""
    records: list[tuple[float, Record]] = []
    for message in messages:
        record = Record.read(message.data)
        if record is None or (records and records[-1][1].epoch != record.epoch):
            records.clear()
        if record is not None:
            records.append((time_of(message), record))
    if not messages:
        return FoundRecords(tip_of(None), [])
    last = messages[-1]
    sequence = int((last.headers or {})[SEQUENCE])
    return FoundRecords(tip_of(StoredMessage(sequence, time_of(last), last.data)), records)


def _are_whole(messages: list[Msg]) -> bool:
    """Tell whether each says what and when it is."""
    return all({SEQUENCE, TIME} <= (message.headers or {}).keys() for message in messages)


def time_of(message: Msg) -> float:
    """Tell when a message was stored, by the server's clock."""
    written = (message.headers or {}).get(TIME, "")
    return datetime.fromisoformat(written).timestamp()


def _fail(asked: Iterable[NatsRead], error: EngineError) -> None:
    for one in asked:
        tell(one.answer, error)
