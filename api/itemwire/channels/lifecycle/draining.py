"""How a node goes out of service: in batches, which other nodes can take in."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from itemwire.channels.connection import Connection
from itemwire.channels.timers import CallLater
from itemwire.close_reasons import DRAINING, CloseReason

STEP_SECONDS: Final = 0.1
MIN_BATCH: Final = 50  # 500/s: a small server does not use all of its time for a few sockets
ANSWER_STEPS: Final = 25  # longer than an engine may take over an answer


class Draining:
    """Ends connections in a random order, each once its publishes in flight are answered.

    A connection goes through three states:

        waiting  served as before
        leaving  what its client sends is ignored, so nothing new comes in flight; for a publish
                 that is in flight there are `ANSWER_STEPS` steps
        ended    with the close reason `draining`

    A timer calls back for each step: there is no task, neither here nor for a connection.
    """

    def __init__(
        self,
        connections: Iterable[Connection],
        end: Callable[[Mapping[Connection, CloseReason]], object],
        call_later: CallLater,
        random: Callable[[], float],
    ) -> None:
        self._waiting = sorted(connections, key=lambda _: random())
        self._leaving: dict[Connection, int] = {}  # and the steps that are left to each
        self._end = end
        self._call_later = call_later
        self._batch = MIN_BATCH
        self._is_running = False
        self._done: list[Callable[[], None]] = []

    def end_within(self, seconds: float, done: Callable[[], None]) -> int:
        """End the remaining connections within so many seconds; return how many they are.

        `done` is called after the last one. Connections with publishes in flight may take an
        engine's answer time longer. A later call sets a new pace for those that remain.
        """
        steps = max(1, math.ceil(seconds / STEP_SECONDS))
        self._batch = max(MIN_BATCH, math.ceil(len(self._waiting) / steps))
        self._done.append(done)
        remaining = len(self._waiting) + len(self._leaving)
        if not self._is_running:
            self._step()
        return remaining

    def _step(self) -> None:
        for connection in self._waiting[-self._batch :]:
            connection.ignore_input()
            self._leaving[connection] = ANSWER_STEPS
        del self._waiting[-self._batch :]
        ready = self._pop_ready()
        self._is_running = bool(self._waiting or self._leaving)
        if self._is_running:
            self._call_later(STEP_SECONDS, self._step)
        self._end(dict.fromkeys(ready, DRAINING))
        if not self._is_running:
            self._finish()

    def _pop_ready(self) -> list[Connection]:
        """Return the leaving connections with nothing in flight, or with no steps left."""
        ready: list[Connection] = []
        for connection, steps in list(self._leaving.items()):
            if steps and connection.is_open and connection.in_flight:
                self._leaving[connection] = steps - 1
            else:
                del self._leaving[connection]
                ready.append(connection)
        return ready

    def _finish(self) -> None:
        done, self._done = self._done, []
        for call in done:
            call()
