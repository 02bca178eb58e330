"""What messages that were published with a key have become, for as long as keys are known.

A record names the keys of its messages. Before anything is stored behind it, whoever stores it sees
that each of those has an entry of its own. So a key is known if it is in the channel's last record
or has an entry, whichever node died in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nats.aio.msg import Msg

from itemwire.engines.base import KEY_SECONDS, EngineError
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
from itemwire.engines.nats.records import LastRecord
from itemwire.messages import Position, read_position

KEY_TTL: Final = ttl_of(KEY_SECONDS)

FoundRecords = Callable[[dict[str, Position] | EngineError], None]


class IdempotencyKeys:
    """Makes entries, and looks them up."""

    def __init__(self, link: NatsConnection, names: NatsNames) -> None:
        self._link = link
        self._names = names

    def settle(self, channel: str, tip: LastRecord, keys: list[str], found: FoundRecords) -> None:
        """Make the entries of a channel's last record, and look up others; answer those known."""
        known = {key: Position(tip.epoch, tip.keys[key]) for key in keys if key in tip.keys}
        wanted = [key for key in keys if key not in known]
        left = len(tip.keys) + len(wanted)
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

        for key, offset in tip.keys.items():
            self._enter(channel, key, Position(tip.epoch, offset), done)
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

        headers = {LAST_SUBJECT: "0", TTL: KEY_TTL}
        self._link.ask(self._names.key(channel, key), str(position).encode(), entered, headers)

    def _look_up(
        self, channel: str, key: str, done: Callable[[Position | EngineError | None, str], None]
    ) -> None:
        def looked_up(reply: list[Msg] | EngineError) -> None:
            stored = reply if isinstance(reply, EngineError) else stored_of(reply[0].data)
            if stored is None or isinstance(stored, EngineError):
                done(stored, key)
                return
            try:
                done(read_position(stored.data.decode()), key)
            except ValueError:
                done(None, key)  # somebody else has put something there

        subject = self._names.key(channel, key)
        self._link.ask(*last_of(self._names.kept, subject), looked_up)
