"""Which connections come, fall behind and end: counted, and each end logged once."""

import logging
from typing import Protocol

from itemwire.close_reasons import CloseReason
from itemwire.counters import CLOSE_CODES, GONE, ChannelCounters
from itemwire.wire.base import Codec
from itemwire_auth.principal import Principal

logger = logging.getLogger("itemwire.channels")


class LoggedConnection(Protocol):
    """What is noted of a connection."""

    id: str
    principal: Principal
    codec: Codec

    @property
    def waiting(self) -> int:
        """Count the bytes that wait for it."""
        ...

    @property
    def dropped(self) -> int:
        """Count the messages that it goes without, since it fell behind."""
        ...


class ConnectionLog:
    """Notes what becomes of each connection, in plain numbers."""

    def __init__(self, counters: ChannelCounters) -> None:
        self._counters = counters
        self._behind: set[LoggedConnection] = set()

    @property
    def behind(self) -> tuple[int, int]:
        """Count the connections that read slowly, and the bytes that wait for them."""
        return len(self._behind), sum(one.waiting for one in self._behind)

    @property
    def dropped(self) -> int:
        """Count the messages that were dropped, of those who are behind just now too."""
        return self._counters.dropped + sum(one.dropped for one in self._behind)

    def opened(self, connection: LoggedConnection) -> None:
        """Note that it is open."""
        self._counters.opened[connection.codec.subprotocol] += 1
        self._counters.open[connection.codec.subprotocol] += 1

    def ended(self, connection: LoggedConnection, reason: CloseReason) -> None:
        """Note that this end closes it, and why."""
        self._note(connection, reason.reason, reason.code)

    def gone(self, connection: LoggedConnection, code: int) -> None:
        """Note that it was open and is gone, by its client or its server."""
        self._note(connection, GONE, code)

    def released(self, connection: LoggedConnection) -> None:
        """Note that it is open no longer."""
        self._counters.open[connection.codec.subprotocol] -= 1

    def fell_behind(self, connection: LoggedConnection) -> None:
        """Note that it has an outbox."""
        self._behind.add(connection)

    def caught_up(self, connection: LoggedConnection) -> None:
        """Note that it is about to have none any longer."""
        if connection in self._behind:
            self._behind.remove(connection)
            self._counters.dropped += connection.dropped

    def _note(self, connection: LoggedConnection, reason: str, code: int) -> None:
        self.caught_up(connection)  # nothing more is dropped for it
        self._counters.ended[reason, code if code in CLOSE_CODES else 0] += 1
        logger.info(
            "ended connection=%s subject=%r reason=%s code=%d",
            connection.id,
            connection.principal.subject,
            reason,
            code,
        )
