"""The positions of messages published with a key, for as long as keys are remembered.

A record names the keys of its messages. Before anything is stored behind it, the node that stores
it makes sure that each of these keys has an entry of its own. So a key is known if it is in the
channel's last record or has an entry, whichever node died in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nats.aio.msg import Msg

from itemwire.engines.base import KEY_SECONDS, EngineError
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
)
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.records import LastRecord
from itemwire.messages import Position, read_position

KEY_TTL: Final = ttl_of(KEY_SECONDS)

TakeKnown = Callable[[dict[str, Position] | EngineError], None]


class IdempotencyKeys:
    """Makes the entries of keys, and looks them up."""

    def __init__(self, connection: NatsConnection, names: NatsNames) -> None:
        self._connection = connection
        self._names = names

    def settle(self, channel: str, last: LastRecord, keys: list[str], found: TakeKnown) -> None:
        """Make the entries of a channel's last record, and answer which of `keys` are known."""
        known = {key: Position(last.epoch, last.keys[key]) for key in keys if key in last.keys}
        wanted = [key for key in keys if key not in known]
        left = len(last.keys) + len(wanted)
        if not left:
            found(known)
            return
        problem: EngineError | None = None

        def done(result: Position | EngineError | None, key: str) -> None:
            nonlocal left, problem
            left -= 1
            if isinstance(result, EngineError):
                problem = result
            elif result is not None:
                known[key] = result
            if not left:
                found(problem or known)

        for key, offset in last.keys.items():
            self._enter(channel, key, Position(last.epoch, offset), done)
        for key in wanted:
            self._look_up(channel, key, done)

    def _enter(
        self,
        channel: str,
        key: str,
        position: Position,
        done: Callable[[EngineError | None, str], None],
    ) -> None:
        def entered(reply: list[Msg] | EngineError) -> None:
            if isinstance(reply, EngineError):
                done(reply, key)
                return
            error = ack_of(reply[0].data).error
            is_there = error is None or error.err_code in MOVED_ON  # another node was first
            done(None if is_there or error is None else refusal(error), key)

        subject = self._names.key(channel, key)
        headers = {LAST_SUBJECT: "0", TTL: KEY_TTL}
        self._connection.ask(subject, str(position).encode(), entered, headers)

    def _look_up(
        self, channel: str, key: str, done: Callable[[Position | EngineError | None, str], None]
    ) -> None:
        def looked_up(reply: list[Msg] | EngineError) -> None:
            stored = stored_of(reply)
            if stored is None or isinstance(stored, EngineError):
                done(stored, key)
                return
            try:
                done(read_position(stored.data.decode()), key)
            except ValueError:
                done(None, key)  # somebody else has put something there

        subject = self._names.key(channel, key)
        self._connection.ask(*last_of(self._names.kept, subject), looked_up)
