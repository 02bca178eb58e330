"""Channels on which a number is to be told again, until they may be forgotten."""

from collections.abc import Callable
from typing import Final, NamedTuple

WAITS: Final = (1, 2, 4, 8)
"""In ticks: after something was told, its number is told again after the first, and so on."""

FORGET_TICKS: Final = 4  # in which it is known whether telling has failed


class DueReminders(NamedTuple):
    """Channels whose time has come."""

    again: dict[str, int]  # how often they were due before
    over: list[str]


class Reminders:
    """Says when a channel is due again: with growing waits, and not for ever.

    All waits are for channels on which another node has been heard; the others are due once.
    """

    def __init__(self, is_shared: Callable[[str], bool]) -> None:
        self._is_shared = is_shared
        self._due: dict[str, tuple[int, int]] = {}  # the tick, and how often it was due before
        self._by_tick: dict[int, dict[str, None]] = {}
        self._ticks = 0

    def __contains__(self, channel: str) -> bool:
        return channel in self._due

    def begin(self, channel: str) -> None:
        """Begin with the first wait of a channel, on which something was told."""
        self._wait(channel, 0)

    def go_on(self, channel: str, count: int) -> None:
        """Begin with the next wait of a channel that was due so often before this time."""
        self._wait(channel, count + 1 if self._is_shared(channel) else len(WAITS))

    def end(self, channel: str) -> None:
        """Let a channel be over in a while, unless it waits already."""
        if channel not in self._due:
            self._wait(channel, len(WAITS))

    def tick(self) -> DueReminders:
        """Return what is due now; called about once a second."""
        self._ticks += 1
        due = DueReminders({}, [])
        for channel in self._by_tick.pop(self._ticks, ()):
            _, count = self._due.pop(channel)
            if count < len(WAITS):
                due.again[channel] = count
            else:
                due.over.append(channel)
        return due

    def _wait(self, channel: str, count: int) -> None:
        if channel in self._due:
            self._by_tick[self._due[channel][0]].pop(channel, None)
        tick = self._ticks + (WAITS[count] if count < len(WAITS) else FORGET_TICKS)
        self._due[channel] = tick, count
        self._by_tick.setdefault(tick, {})[channel] = None
