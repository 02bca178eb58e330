"""What becomes of each connection: counted, its end logged once, and told to observers."""

import logging
from typing import Protocol

from itemwire.close_reasons import CloseReason
from itemwire.counters import CLOSE_CODES, GONE, ChannelCounters
from itemwire.messages import Member
from itemwire.wire.base import Codec
from itemwire_auth.principal import Principal

logger = logging.getLogger("itemwire.channels")


class LoggedConnection(Protocol):
    """What the log needs to know of a connection."""

    id: str
    principal: Principal
    codec: Codec


class Backlog(Protocol):
    """What waits for a connection that is behind."""

    dropped: int

    @property
    def size(self) -> int:
        """Return the bytes that wait."""
        ...


class Observer(Protocol):
    """What is told of connections after the fact; it must neither wait nor raise."""

    def connected(self, connection: LoggedConnection) -> None:
        """Take note of a connection that was opened."""
        ...

    def disconnected(self, connection: LoggedConnection) -> None:
        """Take note of a connection that ended."""
        ...

    def joined(self, item_id: str, member: Member) -> None:
        """Take note of a client that is on an item now."""
        ...

    def left(self, item_id: str, member: Member) -> None:
        """Take note of a client that is off an item, perhaps to return soon."""
        ...


class ConnectionLog:
    """Counts the connections that are open, that are behind, and that ended, by reason."""

    def __init__(self, counters: ChannelCounters) -> None:
        self._counters = counters
        self._behind: dict[LoggedConnection, Backlog] = {}
        self.observers: tuple[Observer, ...] = ()

    @property
    def behind(self) -> tuple[int, int]:
        """Return how many connections are behind, and the total of bytes that wait for them."""
        return len(self._behind), sum(backlog.size for backlog in self._behind.values())

    @property
    def dropped(self) -> int:
        """Return how many messages were dropped so far, of those that are behind now too."""
        return self._counters.dropped + sum(one.dropped for one in self._behind.values())

    def opened(self, connection: LoggedConnection) -> None:
        """Note that a connection is open."""
        self._counters.opened[connection.codec.subprotocol] += 1
        self._counters.open[connection.codec.subprotocol] += 1
        for observer in self.observers:
            observer.connected(connection)

    def joined(self, item_id: str, member: Member) -> None:
        """Note that a client is on an item."""
        for observer in self.observers:
            observer.joined(item_id, member)

    def left(self, item_id: str, member: Member) -> None:
        """Note that a client is off an item."""
        for observer in self.observers:
            observer.left(item_id, member)

    def ended(self, connection: LoggedConnection, reason: CloseReason) -> None:
        """Note that this server ends an open connection, and why."""
        self._end(connection, reason.reason, reason.code)

    def gone(self, connection: LoggedConnection, code: int) -> None:
        """Note that an open connection is gone, closed with this code by its client or server."""
        self._end(connection, GONE, code)

    def fell_behind(self, connection: LoggedConnection, backlog: Backlog) -> None:
        """Note that a connection reads too slowly, and what waits for it from now on."""
        self._behind[connection] = backlog

    def caught_up(self, connection: LoggedConnection) -> None:
        """Note that a connection has read all that waited for it."""
        backlog = self._behind.pop(connection, None)
        if backlog is not None:
            self._counters.dropped += backlog.dropped

    def _end(self, connection: LoggedConnection, reason: str, code: int) -> None:
        self.caught_up(connection)  # nothing more is dropped for it
        self._counters.open[connection.codec.subprotocol] -= 1
        self._counters.ended[reason, code if code in CLOSE_CODES else 0] += 1
        logger.info(
            "ended connection=%s subject=%r reason=%s code=%d",
            connection.id,
            connection.principal.subject,
            reason,
            code,
        )
        for observer in self.observers:
            observer.disconnected(connection)
