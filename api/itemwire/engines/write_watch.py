"""Whether an engine takes writes: seen at the first that is refused, and then tried again."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from itemwire.engines.base import PROBE, Engine, EngineError
from itemwire.engines.faults import EngineFault, Readiness
from itemwire.messages import Draft, Position

logger = logging.getLogger("itemwire.engines")

PROBE_SECONDS: Final = 1.0  # between two attempts: that it takes writes again is seen within 2 s
POST_PROBES: Final = 3  # for longer than from one notice of a node to the next


class WriteWatch:
    """Knows why an engine refuses writes, and stores something now and then until it does not.

    What is tried is what clients need: to keep a value, and to publish a message as large as the
    largest that was refused. So the engine counts as good again when those would be taken.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._size = 0
        self._probes_left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False
        self.fault: EngineFault | None = None

    def start(self) -> None:
        """Begin anew: nothing is known."""
        self._is_stopped = False

    def stop(self) -> None:
        """Try no more."""
        self._is_stopped = True
        self._forget()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self, error: EngineError, size: int = 0) -> None:
        """Take note of a write, of so many bytes, that was refused."""
        fault = error.fault
        if fault.readiness is not Readiness.DEGRADED or self._is_stopped:
            return
        self._size = max(self._size, size)
        before, self.fault = self.fault, fault
        if before is None:
            self._probe_later()
        if before is not fault:
            retry = fault.refusal.retry
            logger.warning("engine_degraded fault=%s retry=%s problem=%s", fault.name, retry, error)

    def note_post(self, problem: EngineError | None) -> None:
        """Take note of a notice: nodes send them all the time, so that none has to be tried."""
        if problem is None:
            self._probes_left = 0
        else:
            self._probes_left = POST_PROBES
            self.take(problem)

    def _forget(self) -> None:
        self._size, self.fault, self._probes_left = 0, None, 0

    def _probe_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PROBE_SECONDS, self._probe)

    def _probe(self) -> None:
        if self._engine.is_available:
            self._engine.put(PROBE, b"", PROBE_SECONDS, self._have_kept)
        else:
            self._probe_later()

    def _have_kept(self, problem: EngineError | None) -> None:
        if self._is_stopped:
            return
        if problem is None:
            draft = Draft(PROBE, "", 0.0, bytes(self._size), None)
            self._engine.publish(PROBE, draft, self._have_published)
        else:
            self._judge(problem)

    def _have_published(self, result: Position | EngineError) -> None:
        if self._is_stopped:
            return
        if isinstance(result, EngineError):
            self._judge(result)
        elif self._probes_left:  # the next notice may be refused again
            self._probes_left -= 1
            self._probe_later()
        else:
            self._forget()
            logger.warning("engine_available")

    def _judge(self, problem: EngineError) -> None:
        self.take(problem)
        self._probe_later()
