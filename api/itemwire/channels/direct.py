"""Messages to all sockets of one caller, on every node, whatever items they are on.

All of them travel on one reserved channel, which every node subscribes to. A socket costs nothing
more for it: a node finds the sockets of a caller when a message for it comes. A channel for each
caller would cost every socket a subscription at the engine, for messages that may never come.
"""

import logging
from typing import Final

import msgspec
from msgspec import UNSET

from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.channels.names import DIRECT_ITEM, channel_of
from itemwire.engines.base import Engine, EngineError
from itemwire.engines.storage_format import bytes_of, payload_of
from itemwire.messages import Direct, DirectLost, Payload, Position, Publication
from itemwire_auth.principal import Identity

logger = logging.getLogger("itemwire.channels")

DIRECT_CHANNEL: Final = channel_of(DIRECT_ITEM)


class _Addressed(msgspec.Struct, array_like=True, frozen=True):
    """A payload and its addressee, as the reserved channel carries them."""

    issuer: str | None
    subject: str
    kind: int
    data: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Addressed).decode


def addressed_to(caller: Identity, data: Payload) -> bytes:
    """Return a payload for one caller as what is published to the reserved item."""
    return _encode(_Addressed(*caller, *bytes_of(data)))


class DirectMessages:
    """Receives the reserved channel, and hands each message to the sockets of its caller here."""

    def __init__(self, engine: Engine, registry: ConnectionRegistry) -> None:
        self._engine = engine
        self._registry = registry
        self._is_open = False
        self._is_subscribed = False
        self._last = Position("", 0)

    def open(self) -> None:
        """Subscribe to the reserved channel; `tick` tries again where that fails."""
        self._is_open = self._is_subscribed = True
        self._engine.subscribe(DIRECT_CHANNEL, self._subscribed)

    def tick(self) -> None:
        """Subscribe again if that has failed."""
        if self._is_open and not self._is_subscribed:
            self.open()

    def receive(self, channel: str, publication: Publication) -> None:
        """Take a publication of a channel without subscribers here, and send it if it is direct."""
        if channel != DIRECT_CHANNEL:
            return
        self._last = Position(self._last.epoch, publication.offset)
        try:
            caller, event = _read(publication)
        except ValueError as error:
            logger.error("direct_unreadable offset=%d problem=%s", publication.offset, error)  # noqa: TRY400 - no fault of ours
            return
        for connection in self._registry.of_caller(caller):
            if connection.is_welcomed:
                connection.send(event)

    def report_loss(self, channel: str, position: Position) -> None:
        """Tell every socket that direct messages up to a position may be lost, if they are."""
        if channel != DIRECT_CHANNEL:
            return
        was_used = self._last.offset or position.offset  # else there was nothing to lose
        self._last = position
        if not was_used:
            return
        for connection in self._registry.all():
            if connection.is_welcomed:
                connection.send(DirectLost())

    def _subscribed(self, problem: EngineError | None) -> None:
        self._is_subscribed = problem is None


def _read(publication: Publication) -> tuple[Identity, Direct]:
    """Return the caller that a message is for, and its envelope; ValueError if there is none."""
    if not isinstance(publication.data, bytes):
        raise ValueError("it has no addressee")  # noqa: TRY004 - of a stored message, not a caller
    stored = _decode(publication.data)
    data = payload_of(stored.kind, stored.data)
    event = Direct(
        publication.sender,
        publication.sent_at,
        data,
        "base64" if isinstance(data, bytes) else UNSET,
    )
    return (stored.issuer, stored.subject), event
