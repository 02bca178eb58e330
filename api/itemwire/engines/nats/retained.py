"""The last message of channels that retain it, beside their records.

A channel's records last no longer than its history, so its last message is stored once more. Nodes
that store messages of one channel at the same time may come to this in another order: each value is
stored on the condition that it follows the one that was read, and an older one gives way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from nats.aio.msg import Msg

from itemwire.engines.base import Answer, ChannelBounds, EngineError, History
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
from itemwire.engines.nats.requests import TakeReply
from itemwire.engines.storage_format import unpack_retained
from itemwire.messages import Position

MAX_CHANNELS: Final = 10_000
MAX_TRIES: Final = 10  # each time another node was first

Done = Callable[[EngineError | None], None]


@dataclass(frozen=True, slots=True)
class _Keeping:
    """A message on its way to be kept."""

    channel: str
    position: Position
    value: bytes
    ttl: str
    done: Done


class NatsRetained:
    """Keeps the last message of a channel, and finds it."""

    def __init__(self, connection: NatsConnection, names: NatsNames, bounds: ChannelBounds) -> None:
        self._connection = connection
        self._names = names
        self._bounds = bounds
        self._sequences: OrderedDict[str, int] = OrderedDict()  # of the value that was seen last

    def keep(self, channel: str, position: Position, packed: bytes, done: Done) -> None:
        """Keep a channel's last message if its bounds say so, unless a later one is kept."""
        seconds = self._bounds.of(channel).retained
        if not seconds:
            done(None)
            return
        value = b"%d %b %b" % (position.offset, position.epoch.encode(), packed)
        self._store(_Keeping(channel, position, value, ttl_of(seconds), done), MAX_TRIES)

    def add_to(self, channel: str, history: History, answer: Answer[History]) -> None:
        """Answer a history with the message that is kept of its channel."""

        def found(reply: list[Msg] | EngineError) -> None:
            stored = stored_of(reply)
            if isinstance(stored, EngineError):
                answer(stored)
            elif stored is None:
                answer(history)
            else:
                kept = unpack_retained(stored.data, history.position)
                answer(replace(history, retained=kept))

        self._ask_kept(channel, found)

    def _store(self, keeping: _Keeping, tries: int) -> None:
        def stored(reply: list[Msg] | EngineError) -> None:
            if isinstance(reply, EngineError):
                keeping.done(reply)
                return
            ack = ack_of(reply[0].data)
            if ack.error is None:
                self._remember(keeping.channel, ack.seq)
                keeping.done(None)
            elif ack.error.err_code in MOVED_ON and tries:
                self._compare(keeping, tries - 1)
            else:
                keeping.done(refusal(ack.error))

        sequence = self._sequences.get(keeping.channel, 0)
        headers = {LAST_SUBJECT: str(sequence), TTL: keeping.ttl}
        subject = self._names.retained(keeping.channel)
        self._connection.ask(subject, keeping.value, stored, headers)

    def _compare(self, keeping: _Keeping, tries: int) -> None:
        """Store behind what is kept now, unless that is later in the same epoch."""

        def found(reply: list[Msg] | EngineError) -> None:
            kept = stored_of(reply)
            if isinstance(kept, EngineError):
                keeping.done(kept)
                return
            self._remember(keeping.channel, 0 if kept is None else kept.sequence)
            if kept is not None and _is_later(kept.data, keeping.position):
                keeping.done(None)
            else:
                self._store(keeping, tries)

        self._ask_kept(keeping.channel, found)

    def _ask_kept(self, channel: str, found: TakeReply) -> None:
        self._connection.ask(*last_of(self._names.kept, self._names.retained(channel)), found)

    def _remember(self, channel: str, sequence: int) -> None:
        self._sequences[channel] = sequence
        self._sequences.move_to_end(channel)
        if len(self._sequences) > MAX_CHANNELS:
            self._sequences.popitem(last=False)


def _is_later(kept: bytes, position: Position) -> bool:
    offset, _, rest = kept.partition(b" ")
    epoch = rest.partition(b" ")[0]
    return epoch == position.epoch.encode() and offset.isdigit() and int(offset) > position.offset
