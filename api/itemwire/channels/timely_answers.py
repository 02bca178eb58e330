"""Answers every request of a client in time, whatever the engine does.

A request may take several steps of the engine: a join subscribes, reads, and perhaps reads again.
An engine limits each step; what is limited here is all of them together, from the moment at which
the request came.
"""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from itemwire.channels.timers import Timers
from itemwire.engines.base import ANSWER_SECONDS, Answer, EngineError

T = TypeVar("T")

REFUSE_SECONDS: Final = ANSWER_SECONDS * 0.95  # so that the refusal is there in time
LATE_TURN: Final = 0.05  # for answers that arrived while this process itself was held up

LATE: Final = "the engine did not answer in time"


class _Waiting:
    """An answer that is waited for; the first one is passed on."""

    __slots__ = ("answer", "deadline")

    def __init__(self, answer: Callable[[Any], None], deadline: float) -> None:
        self.answer: Callable[[Any], None] | None = answer
        self.deadline = deadline

    def __call__(self, result: object) -> None:
        answer, self.answer = self.answer, None
        if answer is not None:
            answer(result)


class TimelyAnswers:
    """Passes on the engine's answers, and refuses what has none `REFUSE_SECONDS` later.

    All requests have the same time, so those that begin now end in the order in which they began:
    they share one timer, and cost no more than an entry in a list. Requests that had to wait
    before they could begin are few, and have a timer each.
    """

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._waiting: deque[_Waiting] = deque()
        self._is_looking = False
        self._counts_from: float | None = None

    @property
    def now(self) -> float:
        """Return the time by which requests are counted."""
        return self._timers.now()

    @contextmanager
    def counting_from(self, moment: float) -> Generator[None]:
        """Count what is asked within from a moment that has passed: it came then, and waited."""
        self._counts_from = moment
        try:
            yield
        finally:
            self._counts_from = None

    def limit(self, answer: Answer[T]) -> Answer[T]:
        """Return a callback that passes on the first result, or an error when time is up."""
        now = self._timers.now()
        if self._counts_from is not None:
            began_late = _Waiting(answer, self._counts_from + REFUSE_SECONDS)
            self._refuse_at_its_time(began_late)
            return began_late
        waiting = _Waiting(answer, now + REFUSE_SECONDS)
        self._forget_answered()
        self._waiting.append(waiting)
        if not self._is_looking:
            self._look_in(REFUSE_SECONDS)
        return waiting

    def _refuse_at_its_time(self, waiting: _Waiting) -> None:
        left = waiting.deadline - self._timers.now()
        if left <= 0:
            waiting(EngineError(LATE))
        elif waiting.answer is not None:
            self._timers.call_later(left, lambda: self._refuse_at_its_time(waiting))

    def _forget_answered(self) -> None:
        while self._waiting and self._waiting[0].answer is None:
            self._waiting.popleft()

    def _look_in(self, seconds: float) -> None:
        self._is_looking = True
        self._timers.call_later(seconds, self._look)

    def _look(self) -> None:
        """Refuse what is due, but first let answers be read that came while nobody could."""
        self._is_looking = False
        self._forget_answered()
        if self._waiting and self._waiting[0].deadline <= self._timers.now():
            self._is_looking = True
            self._timers.call_later(LATE_TURN, self._refuse_due)
        else:
            self._look_again()

    def _refuse_due(self) -> None:
        now = self._timers.now()
        while self._waiting and self._waiting[0].deadline <= now:
            self._waiting.popleft()(EngineError(LATE))
        self._look_again()

    def _look_again(self) -> None:
        self._is_looking = False
        self._forget_answered()
        if self._waiting:
            self._look_in(self._waiting[0].deadline - self._timers.now())
