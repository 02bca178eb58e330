"""Whether an engine may be read: seen at the first refusal, and then tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from itemwire.engines.base import Answer, EngineError
from itemwire.engines.callbacks import in_time
from itemwire.engines.faults import FORBIDDEN, UNPREPARED, UNREADABLE, Readiness

logger = logging.getLogger("itemwire.engines")

PROBE_SECONDS: Final = 1.0  # between two attempts: that it may be read again is seen within 2 s
UNREADABLE_FOR: Final = (FORBIDDEN, UNPREPARED)  # what degrades an engine that refuses to store


class ReadWatch:
    """Knows why an engine cannot be read though it is connected, and tries until it can.

    Without a right to read, or without the tables, a node is as deaf as without its server. One
    refusal may be about one channel, so something that every node reads is tried before it counts.
    """

    def __init__(self, probe: Callable[[Answer[None]], None]) -> None:
        self._probe = probe
        self._timer: asyncio.TimerHandle | None = None
        self._is_trying = False
        self._is_stopped = True
        self.problem: EngineError | None = None

    def start(self) -> None:
        """Begin anew: nothing is known."""
        self._is_stopped = self._is_trying = False

    def stop(self) -> None:
        """Try no more."""
        self._is_stopped = True
        self.problem = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self, problem: EngineError) -> None:
        """Take note that something was refused; what it says of other reads is tried at once."""
        if _is_of_all(problem) and not (self._is_trying or self._is_stopped):
            self._is_trying = True
            self._try()

    def _try(self) -> None:
        self._timer = None
        self._probe(in_time(self._have_tried))

    def _have_tried(self, problem: EngineError | None) -> None:
        if self._is_stopped:
            return
        if problem is None:
            self._is_trying = False
            if self.problem is not None:
                self.problem = None
                logger.warning("engine_readable")
            return
        if self.problem is None and _is_of_all(problem):
            self.problem = problem
            logger.warning("engine_unreadable problem=%s", problem)
        self._timer = asyncio.get_running_loop().call_later(PROBE_SECONDS, self._try)


def refused_read(problem: EngineError) -> EngineError:
    """Return what who reads is told: what is missing here is no verdict on the reader."""
    if problem.fault in UNREADABLE_FOR:
        return EngineError(str(problem), UNREADABLE)
    return problem


def _is_of_all(problem: EngineError) -> bool:
    """Return whether an error may be about whatever is read, and not about one request."""
    return problem.fault in UNREADABLE_FOR or problem.fault.readiness is Readiness.NOT_READY
