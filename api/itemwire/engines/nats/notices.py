"""Notices through JetStream: a stream of them, which is republished to all nodes."""

from __future__ import annotations

import time
from typing import Final

from nats.aio.msg import Msg
from typing_extensions import override

from itemwire.engines.base import Answer, Apply, EngineError
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.jetstream import (
    LAST,
    SEQUENCE,
    TTL,
    sequence_of,
    ttl_of,
    when_stored,
)
from itemwire.engines.nats.stream_pages import Page, StreamPages
from itemwire.engines.nats.streams import JetStreams
from itemwire.engines.notices import LEAST_SECONDS, NoticePage, NoticeReader, StoredNotice

MAX_READ: Final = 1000  # in one answer
SEPARATOR: Final = b" "


class NatsNotices(NoticeReader):
    """The notices of one world; their epoch is the life of the store."""

    def __init__(self, connection: NatsConnection, streams: JetStreams, apply: Apply) -> None:
        super().__init__(apply)
        self._connection = connection
        self._streams = streams
        self._names = streams.names
        self._pages = StreamPages(connection, streams)

    def listen(self) -> None:
        """Receive live notices; those that are kept are read each time that begins."""
        self._connection.subscribe(self._names.told, self._take_live, self.check)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        if until <= 0:
            answer(self._connection.send(self._names.told, notice))
            return
        headers = {TTL: ttl_of(max(until - time.time(), LEAST_SECONDS))}
        data = repr(until).encode() + SEPARATOR + notice
        self._connection.ask(self._names.notice, data, when_stored(answer), headers)

    def _take_live(self, message: Msg) -> None:
        headers = message.headers or {}
        if SEQUENCE not in headers:  # it was only sent, not kept
            self._hand_on(message.data)
        else:
            notice = message.data.partition(SEPARATOR)[2]
            sequence, previous = int(headers[SEQUENCE]), int(headers[LAST])
            self.receive(self._streams.life, previous, sequence, notice)

    @override
    def _read_page(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        life = self._streams.life
        begin = after if epoch == life else 0

        def have_read(page: Page | EngineError) -> None:
            if isinstance(page, EngineError):
                answer(page)
                return
            messages, read_on_at = page
            notices = [_notice_of(message) for message in messages]
            last = max([begin, read_on_at - 1, *(one.number for one in notices)])
            answer(NoticePage(life, last, notices, is_cut=read_on_at > 0))

        self._pages.ask(self._names.notices, self._names.notice, begin + 1, MAX_READ, have_read)


def _notice_of(message: Msg) -> StoredNotice:
    until, _, notice = message.data.partition(SEPARATOR)
    return StoredNotice(sequence_of(message), notice, is_over=float(until) <= time.time())
