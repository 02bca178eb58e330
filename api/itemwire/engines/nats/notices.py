"""Notices through JetStream: stored in order, heard by all, read again after a doubt."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from nats.aio.msg import Msg

from itemwire.engines.base import Answer, Apply, EngineError
from itemwire.engines.nats.jetstream import TTL, ack_of, from_on, refusal, ttl_of
from itemwire.engines.nats.link import NatsConnection
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.reading import DONE, LAST, NOTHING, PENDING, SEQUENCE, STRANGE
from itemwire.engines.nats.requests import STATUS

LEAST_SECONDS: Final = 60.0  # a notice is kept so long, for a node that is cut off just now
RETRY_SECONDS: Final = 0.5
MAX_READ: Final = 1000  # in one answer
SEPARATOR: Final = b" "


class NatsNotices:
    """Hands on each notice in the order in which they were stored."""

    def __init__(self, link: NatsConnection, names: NatsNames, apply: Apply) -> None:
        self._link = link
        self._names = names
        self._apply = apply
        self._last = 0
        self._is_first = True
        self._is_reading = False
        self._is_due = False
        self._waiting: list[Answer[None]] = []
        self._is_over = False

    def start(self, answer: Answer[None]) -> None:
        """Answer once the notices that are kept were handed on."""
        self._waiting.append(answer)
        self._link.hear(self._names.told, self._received, self.check)

    def stop(self) -> None:
        """Read no more."""
        self._is_over = True

    def begin_anew(self) -> None:
        """Hand on everything again: the store may have lost notices, and count as before."""
        self._last = 0
        self.check()

    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        """Store a notice, which sends it to all; or only send it."""
        if until <= 0:
            self._link.tell(self._names.told, notice)
            answer(None if self._link.is_ready else EngineError("the engine is away"))
            return

        def posted(reply: list[Msg] | EngineError) -> None:
            if isinstance(reply, EngineError):
                answer(reply)
                return
            error = ack_of(reply[0].data).error
            answer(None if error is None else refusal(error))

        seconds = max(until - time.time(), LEAST_SECONDS)
        data = repr(until).encode() + SEPARATOR + notice
        self._link.ask(self._names.notice, data, posted, {TTL: ttl_of(seconds)})

    def check(self) -> None:
        """Read what may have been missed."""
        self._is_due = True
        if self._is_reading or self._is_over:
            return
        self._is_due, self._is_reading = False, True
        self._read(self._last + 1)

    def _received(self, message: Msg) -> None:
        """Take a notice that has just been posted; one that is stored, if it is the next."""
        headers = message.headers or {}
        if SEQUENCE not in headers:  # it is kept for nobody
            self._apply(message.data)
        elif int(headers[LAST]) > self._last or self._is_first:
            self.check()
        elif int(headers[SEQUENCE]) > self._last:
            self._take(message)

    def _read(self, begin: int) -> None:
        question = from_on(self._names.notices, self._names.notice, begin, MAX_READ)
        self._link.ask(*question, self._have_read, is_many=True)

    def _have_read(self, reply: list[Msg] | EngineError) -> None:
        if not isinstance(reply, EngineError):
            *messages, end = reply
            headers = end.headers or {}
            if headers.get(STATUS) not in {DONE, NOTHING}:
                reply = EngineError(STRANGE)
            else:
                for message in messages:
                    self._take(message)
                if headers.get(STATUS) == DONE and int(headers.get(PENDING, 0)):
                    self._read(int(headers[LAST]) + 1)
                    return
        self._finish(reply if isinstance(reply, EngineError) else None)

    def _finish(self, problem: EngineError | None) -> None:
        self._is_reading = False
        if problem is None:
            self._is_first = False
        elif not self._is_over:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self.check)
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer(problem)
        if self._is_due and problem is None:
            self.check()

    def _take(self, message: Msg) -> None:
        sequence = int((message.headers or {})[SEQUENCE])
        if sequence <= self._last:
            return
        self._last = sequence
        until, _, notice = message.data.partition(SEPARATOR)
        # Kept a little longer than asked, for those who were cut off: not for who starts.
        if not self._is_first or float(until) > time.time():
            self._apply(notice)
