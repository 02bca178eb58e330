"""A fake event loop: its calls are made when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from typing_extensions import override

from itemwire.channels.timers import Timers
from tests.fakes.values import Clock

SOON: Final = 0.1
"""Seconds: longer than a batch of notices waits, and shorter than anything is waited for."""


class ManualTimers(Timers):
    """Makes the calls of this tick by `settle`, and later ones as time is made to pass."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._soon: list[Callable[[], None]] = []
        self._later: list[tuple[float, Callable[[], None]]] = []

    @override
    def start(self) -> None:
        """Do nothing: there is no loop."""

    @override
    def now(self) -> float:
        return self.clock.now

    @override
    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    @override
    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._later.append((self.clock.now + seconds, callback))

    @override
    def hand_over(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    @property
    def waits(self) -> bool:
        """Return whether a call is to be made later."""
        return bool(self._later)

    @property
    def waits_soon(self) -> bool:
        """Return whether a call is due within `SOON`."""
        return any(due <= self.clock.now + SOON for due, _ in self._later)

    def settle(self) -> None:
        """Let the loop tick end."""
        while self._soon:
            self._soon.pop(0)()

    def make_later_calls(self) -> None:
        """Make all calls that wait for a later moment, whatever the time is."""
        later, self._later = self._later, []
        for _, callback in later:
            callback()

    def make_soon_calls(self) -> None:
        """Make all calls that are due within `SOON`, and leave the clock as it is."""
        later, self._later = self._later, []
        for due, callback in later:
            if due <= self.clock.now + SOON:
                callback()
            else:
                self._later.append((due, callback))

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and make the calls that are due on the way, in their order."""
        end = self.clock.now + seconds
        while due := [one for one in self._later if one[0] <= end]:
            first = min(due, key=lambda one: one[0])
            self._later.remove(first)
            self.clock.now = first[0]
            first[1]()
            self.settle()
        self.clock.now = end
