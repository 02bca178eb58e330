"""Who may go ahead: some side by side, some alone, all in the order they asked."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Turn:
    begin: Callable[[], None]
    is_alone: bool


class OrderedGate:
    """Begins what it is asked, `width` at a time; what must be alone, while nothing else runs.

    Whatever has begun says `done` once it is through.
    """

    __slots__ = ("_is_alone", "_is_going_on", "_running", "_waiting", "_width")

    def __init__(self, width: int) -> None:
        self._width = width
        self._running = 0
        self._is_alone = False
        self._is_going_on = False
        self._waiting: deque[_Turn] = deque()

    def ask(self, begin: Callable[[], None], *, alone: bool = False) -> None:
        """Begin something as soon as its turn comes, perhaps at once."""
        self._waiting.append(_Turn(begin, alone))
        self._go_on()

    def done(self) -> None:
        """Let the next begin: one of those that run is through."""
        self._running -= 1
        self._is_alone = False
        self._go_on()

    def _go_on(self) -> None:
        if self._is_going_on:  # what has just begun is through already: the loop below sees it
            return
        self._is_going_on = True
        while self._waiting and self._may_begin(self._waiting[0]):
            turn = self._waiting.popleft()
            self._running += 1
            self._is_alone = turn.is_alone
            turn.begin()
        self._is_going_on = False

    def _may_begin(self, turn: _Turn) -> bool:
        if turn.is_alone:
            return self._running == 0
        return self._running < self._width and not self._is_alone
