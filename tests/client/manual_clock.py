"""A clock that a test moves, together with everything that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from itemwire.client.clock import ClientClock, TimerHandle

TURNS: Final = 30
"""Turns of the event loop in which everything that was begun is done."""

UNIX: Final = 1_800_000_000.0


async def settle() -> None:
    """Let everything happen that needs no time."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Timer(TimerHandle):
    """A call that waits for its moment."""

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.is_cancelled = False

    @override
    def cancel(self) -> None:
        self.is_cancelled = True


class ManualClock(ClientClock):
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wrong_by = 0.0  # how far this computer's clock is off
        self._timers: list[Timer] = []

    @override
    def monotonic(self) -> float:
        return self.now

    @override
    def unix(self) -> float:
        return UNIX + self.now - 1000.0 + self.wrong_by

    @override
    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self.now + seconds, callback)
        self._timers.append(timer)
        return timer

    @property
    def waits(self) -> list[float]:
        """The seconds until each call that waits."""
        return sorted(one.due - self.now for one in self._open())

    async def advance(self, seconds: float) -> None:
        """Move on, and make every call that is due in its order."""
        end = self.now + seconds
        await settle()
        while due := [one for one in self._open() if one.due <= end]:
            first = min(due, key=lambda one: one.due)
            self._timers.remove(first)
            self.now = max(self.now, first.due)
            first.callback()
            await settle()
        self.now = end
        await settle()

    async def sleep_through(self, seconds: float) -> None:
        """Stand still with the whole process: afterwards every call is late."""
        self.now += seconds
        await self.advance(0.0)

    def _open(self) -> list[Timer]:
        self._timers = [one for one in self._timers if not one.is_cancelled]
        return self._timers
