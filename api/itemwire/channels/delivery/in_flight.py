"""What the engine was asked to store and has not answered yet, within bounds."""

from __future__ import annotations  # else the types of `answered` are put together at each call

import logging
from typing import Final

from itemwire.channels.limits.bounds import Limits
from itemwire.engines.base import Answer, EngineError
from itemwire.messages import Position

logger = logging.getLogger("itemwire.channels")

SHARES: Final = 10  # one connection's flood leaves nine tenths to the others


class TooManyInFlight(EngineError):
    """The engine was not asked: too much is on its way to it already."""


class InFlight:
    """Publishes that wait for an answer: at most so many, of so many bytes.

    One that finds no other waiting is let through whatever its size.
    """

    __slots__ = ("_bytes", "_count", "_is_told", "_limit", "_limit_bytes", "_whose")

    def __init__(self, limit: int, limit_bytes: int, whose: str = "node") -> None:
        self._whose = whose
        self._is_told = False  # in the log, since they were all answered
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        """Count those that wait."""
        return self._count

    def count(self, size: int, answer: Answer[Position]) -> Answer[Position] | None:
        """Count a publish until it is answered, by what this gives; None: there is no room."""
        if self._count and (self._count >= self._limit or self._bytes + size > self._limit_bytes):
            self._tell()
            return None
        self._count += 1
        self._bytes += size

        def answered(position: Position | EngineError) -> None:
            self._count -= 1
            self._bytes -= size
            if not self._count:
                self._is_told = False
            answer(position)

        return answered

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            logger.warning(
                "engine_behind of=%s unanswered=%d bytes=%d", self._whose, self._count, self._bytes
            )


def share_of(limits: Limits, connection_id: str) -> InFlight:
    """Make the bounds of one connection, so that none takes all there is."""
    count, size = max(limits.unanswered // SHARES, 1), limits.unanswered_bytes // SHARES
    return InFlight(count, size, connection_id)
