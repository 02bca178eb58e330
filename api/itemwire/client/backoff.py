"""How long a client waits before its next attempt."""

from collections.abc import Callable
from random import uniform
from typing import Final

FIRST_SECONDS: Final = 6.0
CAP_SECONDS: Final = 30.0

_MAX_DOUBLINGS: Final = 32

Random = Callable[[float, float], float]
"""Returns a number between two."""


class Backoff:
    """Waits drawn from a window that doubles: full jitter, so that many clients come apart.

    A wait near 0 is as likely as any. The first window is wide because all clients of a server that
    ends draw from it at once: of 400 clients, no 100 ms gets more than 5 %.
    """

    def __init__(
        self, first: float = FIRST_SECONDS, cap: float = CAP_SECONDS, random: Random = uniform
    ) -> None:
        self._first = first
        self._cap = cap
        self._random = random
        self._doublings = 0

    def next_wait(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait; the server's own advice is a floor, and added to."""
        window = min(self._cap, self._first * 2.0**self._doublings)
        self._doublings = min(self._doublings + 1, _MAX_DOUBLINGS)
        return at_least + self._random(0.0, window)

    def reset(self) -> None:
        """Begin again with the first window: the last attempt has worked."""
        self._doublings = 0
