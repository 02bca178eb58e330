"""Whether an engine takes writes: seen at the first that is refused, and then tried again."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from itemwire.engines.base import PROBE, Engine, EngineError
from itemwire.engines.faults import SILENT, UNKNOWN, EngineFault, Readiness
from itemwire.messages import Draft, Position

logger = logging.getLogger("itemwire.engines")

HUNG_SECONDS: Final = 1.0  # without an answer: less than any engine gives a request
REMAKE_SECONDS: Final = 0.5  # in which a connection is made anew that was ended for its silence
PROBE_SECONDS: Final = 1.0  # between two attempts: that it takes writes again is seen within 2 s
POST_PROBES: Final = 3  # for longer than from one notice of a node to the next


class WriteWatch:
    """Knows why an engine refuses writes, and stores something now and then until it does not.

    What is tried is what clients need: to keep a value, and to publish a message as large as the
    largest that was refused. So the engine counts as good again when those would be taken.

    A write that ended without a verdict may be about its own channel alone, or its connection. Then
    the same is tried at once: an engine that does not answer that either, and is there all the
    same, stores nothing for anybody.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._size = 0
        self._probes_left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False
        self._is_in_doubt = False
        self._tried_at = -math.inf
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
        if self._is_stopped or error.fault is self._engine.fault:
            return  # what an engine knows by itself need not be found out
        if error.fault.readiness is Readiness.DEGRADED:
            self._size = max(self._size, size)
            self._note(error.fault, error)
        elif error.fault is UNKNOWN:
            self._doubt()

    def _note(self, fault: EngineFault, error: EngineError) -> None:
        before, self.fault = self.fault, fault
        if before is None:
            self._probe_later()
        if before is not fault:
            retry = fault.refusal.retry
            logger.warning("engine_degraded fault=%s retry=%s problem=%s", fault.name, retry, error)

    def _doubt(self) -> None:
        is_new = time.monotonic() - self._tried_at > PROBE_SECONDS and not self._is_in_doubt
        if is_new and self.fault is None and self._engine.is_available:
            self._is_in_doubt = True
            self._probe()

    def note_post(self, problem: EngineError | None) -> None:
        """Take note of a notice: nodes send them all the time, so that none has to be tried."""
        if problem is None:
            self._probes_left = 0
        else:
            self._probes_left = POST_PROBES
            self.take(problem)

    def _forget(self) -> None:
        self._size, self.fault, self._probes_left = 0, None, 0
        self._is_in_doubt = False

    def _probe_later(self) -> None:
        self._call_later(PROBE_SECONDS, self._probe)

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, call)

    def _probe(self) -> None:
        self._tried_at = time.monotonic()
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
            if self.fault is not None:
                logger.warning("engine_available")
            self._forget()

    def _judge(self, problem: EngineError) -> None:
        if self.fault is not None or problem.fault is not UNKNOWN:
            self._is_in_doubt = False
            self.take(problem)
            if self.fault is not None:
                self._probe_later()
        elif time.monotonic() - self._tried_at > HUNG_SECONDS:
            # The connection that was silent may have been ended. Without the others, too, the
            # engine is away, and readiness says so.
            self._call_later(REMAKE_SECONDS, partial(self._conclude, problem))
        else:
            self._is_in_doubt = False

    def _conclude(self, problem: EngineError) -> None:
        self._is_in_doubt = False
        if self._engine.is_available:
            self._note(SILENT, problem)
