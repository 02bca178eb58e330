"""Lets operations run concurrently or alone, and starts them in the order they came."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Operation:
    begin: Callable[[], None]
    is_exclusive: bool


class OrderedGate:
    """Runs at most `width` operations at a time; an exclusive one runs while no other does.

    An operation is begun by a call and says by `done` that it is over. None overtakes another: an
    exclusive operation waits for all before it, and all after it wait for it.
    """

    __slots__ = ("_is_beginning", "_is_exclusive", "_running", "_waiting", "_width")

    def __init__(self, width: int) -> None:
        self._width = width
        self._running = 0
        self._is_exclusive = False  # the one that runs
        self._is_beginning = False
        self._waiting: deque[_Operation] = deque()

    def submit(self, begin: Callable[[], None], *, exclusive: bool = False) -> None:
        """Begin an operation as soon as it may run, perhaps before this returns."""
        self._waiting.append(_Operation(begin, exclusive))
        self._begin_next()

    def done(self) -> None:
        """Note that one of the running operations is over, and begin whatever may run now."""
        self._running -= 1
        self._is_exclusive = False
        self._begin_next()

    def _begin_next(self) -> None:
        # An operation that is over within its own begin gets here from the loop below, which then
        # goes on by itself: thousands of those must not pile up on the stack.
        if self._is_beginning:
            return
        self._is_beginning = True
        while self._waiting and self._may_run(self._waiting[0]):
            operation = self._waiting.popleft()
            self._running += 1
            self._is_exclusive = operation.is_exclusive
            operation.begin()
        self._is_beginning = False

    def _may_run(self, operation: _Operation) -> bool:
        if operation.is_exclusive:
            return self._running == 0
        return self._running < self._width and not self._is_exclusive
