"""Values in JetStream: whoever stores the mark behind a value has taken it."""

from __future__ import annotations

from typing import Final

from nats.aio.msg import Msg

from itemwire.engines.base import Answer, EngineError
from itemwire.engines.nats.jetstream import (
    LAST_SUBJECT,
    MOVED_ON,
    TTL,
    ack_of,
    last_of,
    refusal,
    stored_of,
    ttl_of,
)
from itemwire.engines.nats.link import NatsConnection
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.records import StoredMessage

TAKEN: Final = b""
KEPT: Final = b"="  # ahead of every value, which may be empty


class NatsValues:
    """Keeps values, and gives each to one."""

    def __init__(self, link: NatsConnection, names: NatsNames) -> None:
        self._link = link
        self._names = names

    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        """Keep a value, in place of what was there."""

        def put(reply: list[Msg] | EngineError) -> None:
            if isinstance(reply, EngineError):
                answer(reply)
                return
            error = ack_of(reply[0].data).error
            answer(None if error is None else refusal(error))

        self._link.ask(self._names.value(key), KEPT + value, put, {TTL: ttl_of(seconds)})

    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        """Answer a value and forget it."""

        def looked_up(reply: list[Msg] | EngineError) -> None:
            stored = reply if isinstance(reply, EngineError) else stored_of(reply[0].data)
            if isinstance(stored, EngineError):
                answer(stored)
            elif stored is None or stored.data == TAKEN:
                answer(None)
            else:
                self._mark(key, stored, answer)

        self._link.ask(*last_of(self._names.kept, self._names.value(key)), looked_up)

    def _mark(self, key: str, stored: StoredMessage, answer: Answer[bytes | None]) -> None:
        def marked(reply: list[Msg] | EngineError) -> None:
            if isinstance(reply, EngineError):
                answer(reply)
                return
            error = ack_of(reply[0].data).error
            if error is None:
                answer(stored.data.removeprefix(KEPT))
            elif error.err_code in MOVED_ON:  # taken, or put anew
                self.take(key, answer)
            else:
                answer(refusal(error))

        headers = {LAST_SUBJECT: str(stored.sequence), TTL: ttl_of(1)}
        self._link.ask(self._names.value(key), TAKEN, marked, headers)
