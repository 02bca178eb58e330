"""Values in JetStream: a node takes a value by storing a mark behind it."""

from __future__ import annotations

from typing import Final

from nats.aio.msg import Msg

from itemwire.engines.base import Answer, EngineError, new_secret
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.jetstream import (
    LAST_SUBJECT,
    MOVED_ON,
    TTL,
    ack_of,
    last_of,
    refusal,
    stored_of,
    ttl_of,
    when_stored,
)
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.records import StreamMessage

TAKEN: Final = b""
KEPT: Final = b"="  # before every value, which may be empty


class NatsValues:
    """Keeps values, and gives each of them to one caller."""

    def __init__(self, connection: NatsConnection, names: NatsNames) -> None:
        self._connection = connection
        self._names = names

    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        """Keep a value, replacing the one before."""
        headers = {TTL: ttl_of(seconds)}
        self._connection.ask(self._names.value(key), KEPT + value, when_stored(answer), headers)

    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        """Answer a value and forget it; None if there is none."""

        def looked_up(reply: list[Msg] | EngineError) -> None:
            stored = stored_of(reply)
            if isinstance(stored, EngineError):
                answer(stored)
            elif stored is None or stored.data == TAKEN:
                answer(None)
            else:
                self._mark_taken(key, stored, answer)

        self._connection.ask(*last_of(self._names.kept, self._names.value(key)), looked_up)

    def _mark_taken(self, key: str, stored: StreamMessage, answer: Answer[bytes | None]) -> None:
        def marked(reply: list[Msg] | EngineError) -> None:
            if isinstance(reply, EngineError):
                answer(reply)
                return
            error = ack_of(reply[0].data).error
            if error is None:
                answer(stored.data.removeprefix(KEPT))
            elif error.err_code in MOVED_ON:  # another node took it, or it was put anew
                self.take(key, answer)
            else:
                answer(refusal(error))

        headers = {LAST_SUBJECT: str(stored.sequence), TTL: ttl_of(1)}
        self._connection.ask(self._names.value(key), TAKEN, marked, headers)

    def secret(self, answer: Answer[bytes]) -> None:
        """Answer the secret of the store; whichever node is first makes it."""

        def looked_up(reply: list[Msg] | EngineError) -> None:
            stored = stored_of(reply)
            if stored is None:
                self._make_secret(answer)
            else:
                answer(stored if isinstance(stored, EngineError) else stored.data)

        self._connection.ask(*last_of(self._names.kept, self._names.secret), looked_up)

    def _make_secret(self, answer: Answer[bytes]) -> None:
        secret = new_secret()

        def stored(reply: list[Msg] | EngineError) -> None:
            if isinstance(reply, EngineError):
                answer(reply)
                return
            error = ack_of(reply[0].data).error
            if error is None:
                answer(secret)
            elif error.err_code in MOVED_ON:  # another node was first
                self.secret(answer)
            else:
                answer(refusal(error))

        self._connection.ask(self._names.secret, secret, stored, {LAST_SUBJECT: "0"})
