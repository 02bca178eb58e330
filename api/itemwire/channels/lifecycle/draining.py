"""How a node goes out of service: in batches, so that others can take its sockets in."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from itemwire.channels.connection import Connection
from itemwire.channels.timers import CallLater
from itemwire.close_reasons import DRAINING, CloseReason

STEP_SECONDS: Final = 0.1
LEAST_AT_ONCE: Final = 50  # 500/s: the few sockets of a small server need not take all the time
ANSWER_STEPS: Final = 25  # longer than an engine may take over an answer


class Draining:
    """Ends connections in a random order, each once what it has published is answered.

    It is called back by a timer: there is no task, neither of its own nor of a connection.
    """

    def __init__(
        self,
        connections: Iterable[Connection],
        end: Callable[[Mapping[Connection, CloseReason]], object],
        call_later: CallLater,
        random: Callable[[], float],
    ) -> None:
        self._waiting = sorted(connections, key=lambda _: random())
        self._leaving: dict[Connection, int] = {}  # not heard any more; for so many steps
        self._end = end
        self._call_later = call_later
        self._at_once = LEAST_AT_ONCE
        self._is_under_way = False
        self._done: list[Callable[[], None]] = []

    def end_within(self, seconds: float, done: Callable[[], None]) -> int:
        """End who is left within so many seconds from now, then call `done`; tell how many.

        Who has published and is not answered yet may take an engine's time longer. The latest
        order counts.
        """
        steps = max(1, math.ceil(seconds / STEP_SECONDS))
        self._at_once = max(LEAST_AT_ONCE, math.ceil(len(self._waiting) / steps))
        self._done.append(done)
        left = len(self._waiting) + len(self._leaving)
        if not self._is_under_way:
            self._step()
        return left

    def _step(self) -> None:
        for connection in self._waiting[-self._at_once :]:
            connection.ignore_input()
            self._leaving[connection] = ANSWER_STEPS
        del self._waiting[-self._at_once :]
        over = self._pop_over()
        self._is_under_way = bool(self._waiting or self._leaving)
        if self._is_under_way:
            self._call_later(STEP_SECONDS, self._step)
        self._end(dict.fromkeys(over, DRAINING))
        if not self._is_under_way:
            self._finish()

    def _pop_over(self) -> list[Connection]:
        """Give those for whom nothing is to be waited for any longer."""
        over: list[Connection] = []
        for connection, steps in list(self._leaving.items()):
            if steps and connection.is_open and connection.in_flight:
                self._leaving[connection] = steps - 1
            else:
                del self._leaving[connection]
                over.append(connection)
        return over

    def _finish(self) -> None:
        done, self._done = self._done, []
        for call in done:
            call()
