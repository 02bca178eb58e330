"""Channels on which answers may be overdue: when to look again, with growing waits."""

from typing import Final

MAX_WAIT_TICKS: Final = 32


class Doubts:
    """Keeps when each channel is to be looked at, and how long it is waited for after that."""

    def __init__(self, first_wait: int) -> None:
        self._first_wait = first_wait
        self._due: dict[str, tuple[int, bool]] = {}  # the tick, and whether to ask in any case
        self._waits: dict[str, int] = {}

    def add(self, channel: str, tick: int, *, is_sure: bool = False) -> None:
        """Have a channel looked at in this tick; if sure, to be asked on in any case."""
        known, was_sure = self._due.get(channel, (tick, False))
        self._due[channel] = min(known, tick), is_sure or was_sure
        self._waits.setdefault(channel, self._first_wait)

    def pop_due(self, now: int) -> list[tuple[str, bool]]:
        """Return the channels that are due, and whether they are sure."""
        due = [(one, is_sure) for one, (tick, is_sure) in self._due.items() if tick <= now]
        for channel, _ in due:
            del self._due[channel]
        return due

    def go_on(self, channel: str, now: int) -> None:
        """Look at a channel again after its wait, which grows: it was asked on now."""
        wait = self._waits[channel]
        self._waits[channel] = min(2 * wait, MAX_WAIT_TICKS)
        self.add(channel, now + wait)

    def forget(self, channel: str) -> None:
        """Doubt a channel no longer."""
        self._due.pop(channel, None)
        self._waits.pop(channel, None)
