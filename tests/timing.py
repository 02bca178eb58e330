"""Time in tests: what a busy machine may add to it, and a clock that a test moves forward."""

import time
from typing import Final

BUSY_SECONDS: Final = 10.0
"""What a busy machine may add to the time in which something is promised."""


class AdvancedClock:
    """Unix time that goes on, ahead of the machine's by as much as a test says.

    Unlike `itemwire.testing.Clock` it does not stand still: tokens that are minted by the
    machine's clock are good by this one too, for as long as they live beyond what it is ahead.
    """

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Go forward by so many seconds more."""
        self._ahead += seconds

    def reset(self) -> None:
        """Go back to the machine's time."""
        self._ahead = 0.0
