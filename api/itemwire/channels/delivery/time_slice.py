"""The share of one turn of the event loop that delivery may take."""

import time
from collections.abc import Callable
from typing import Final

SECONDS: Final = 0.005  # then the clients of other channels have their turn
STRIDE: Final = 256  # writes between two looks at the clock, which take 1 to 2 ms


class TimeSlice:
    """A few milliseconds of one turn, in which many writes may be done.

    The clock is looked at once in `stride` writes, so a small audience costs no look at it.
    """

    __slots__ = ("_clock", "_ends_at", "_seconds", "_unchecked", "is_over", "stride")

    def __init__(
        self,
        seconds: float = SECONDS,
        stride: int = STRIDE,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.stride = stride
        self._seconds = seconds
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Begin again, now."""
        self.is_over = False
        self._ends_at = self._clock() + self._seconds
        self._unchecked = 0

    def spend(self, writes: int) -> None:
        """Count writes that were done, and note in `is_over` whether the time is up."""
        self._unchecked += writes
        if self._unchecked >= self.stride:
            self._unchecked = 0
            self.is_over = self._clock() >= self._ends_at


def endless() -> TimeSlice:
    """Return a slice that is never over."""
    return TimeSlice(float("inf"))
