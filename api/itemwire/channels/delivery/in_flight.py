"""Publishes that the engine was asked to store and has not answered yet, within bounds."""

from __future__ import annotations  # else the types of `answered` are put together at each call

import logging
from typing import Final

from itemwire.channels.limits.bounds import Limits
from itemwire.engines.base import Answer, EngineError
from itemwire.messages import Position

logger = logging.getLogger("itemwire.channels")

SHARES: Final = 10  # a flood on one connection leaves nine tenths to the others


class TooManyInFlight(EngineError):
    """The engine was not asked: it has too many publishes to answer already."""


class InFlight:
    """Counts publishes until they are answered: at most so many, of so many bytes together.

    While nothing else is in flight, a publish of any size is let through: a limit smaller than a
    message slows its publisher down and does not silence it.
    """

    __slots__ = ("_bytes", "_count", "_is_logged", "_limit", "_limit_bytes", "_owner")

    def __init__(self, limit: int, limit_bytes: int, owner: str = "node") -> None:
        self._owner = owner
        self._is_logged = False  # that it is full; again only after all were answered
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        """Return the number of publishes in flight."""
        return self._count

    def track(self, size: int, answer: Answer[Position]) -> Answer[Position] | None:
        """Count a publish of so many bytes in; return None if there is no room for it.

        What is returned goes to the engine in place of `answer`: it counts the publish out and
        passes the answer on.
        """
        if self._count and (self._count >= self._limit or self._bytes + size > self._limit_bytes):
            self._log_once()
            return None
        self._count += 1
        self._bytes += size

        def answered(position: Position | EngineError) -> None:
            self._count -= 1
            self._bytes -= size
            if not self._count:
                self._is_logged = False
            answer(position)

        return answered

    def _log_once(self) -> None:
        if not self._is_logged:
            self._is_logged = True
            logger.warning(
                "engine_behind of=%s unanswered=%d bytes=%d", self._owner, self._count, self._bytes
            )


def share_of(limits: Limits, connection_id: str) -> InFlight:
    """Return the bounds of one connection: a tenth of the node's, so none takes them all."""
    count, size = max(limits.max_in_flight // SHARES, 1), limits.max_in_flight_bytes // SHARES
    return InFlight(count, size, connection_id)
