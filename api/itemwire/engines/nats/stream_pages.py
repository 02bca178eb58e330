"""Reads what a stream has under a subject, page by page, and as much as its leader has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from nats.aio.msg import Msg

from itemwire.engines.base import ANSWER_SECONDS, EngineError
from itemwire.engines.callbacks import LATE
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.jetstream import from_on, last_of, page_of, sequence_of, stored_of
from itemwire.engines.nats.streams import JetStreams
from itemwire.engines.networked import STALE_SECONDS

Page = tuple[list[Msg], int]
"""Messages in their order, and the sequence to read on at; 0 if that is all."""

TakePage = Callable[[Page | EngineError], None]


class StreamPages:
    """Asks for several messages at once, which any server of a cluster may answer.

    One that follows may be behind: right after the leader ended, for as long as the others choose
    another. So there the leader is asked first for the last message, of which the answer may lack
    nothing; else it is asked for again, while there is time.
    """

    def __init__(self, connection: NatsConnection, streams: JetStreams) -> None:
        self._connection = connection
        self._streams = streams

    def ask(self, stream: str, subject: str, begin: int, most: int, answer: TakePage) -> None:
        """Read at most so many messages from a sequence on."""
        until = asyncio.get_running_loop().time() + ANSWER_SECONDS
        read = _PageRead(self._connection, stream, subject, begin, most, answer, until)
        if self._streams.is_cluster:
            read.ask_leader()
        else:
            read.ask()


class _PageRead(NamedTuple):
    """The read of one page, until it has what the leader has."""

    connection: NatsConnection
    stream: str
    subject: str
    begin: int
    most: int
    answer: TakePage
    until: float

    def ask_leader(self) -> None:
        self.connection.ask(*last_of(self.stream, self.subject), self._have_last)

    def ask(self, last: int = 0) -> None:
        question = from_on(self.stream, self.subject, self.begin, self.most)
        self.connection.ask(*question, partial(self._have_read, last), is_many=True)

    def _have_last(self, reply: list[Msg] | EngineError) -> None:
        stored = stored_of(reply)
        if isinstance(stored, EngineError):
            self.answer(stored)
        else:
            self.ask(stored.sequence if stored else 0)

    def _have_read(self, last: int, reply: list[Msg] | EngineError) -> None:
        page = reply if isinstance(reply, EngineError) else page_of(reply)
        loop = asyncio.get_running_loop()
        if isinstance(page, EngineError) or not self._lacks(page, last):
            self.answer(page)
        elif loop.time() < self.until:
            loop.call_later(STALE_SECONDS, self.ask_leader)
        else:
            self.answer(EngineError(LATE))

    def _lacks(self, page: Page, last: int) -> bool:
        messages, read_on_at = page
        reached = sequence_of(messages[-1]) if messages else self.begin - 1
        return not read_on_at and reached < last
