"""Who came to a channel or left it last: what those are told who missed a little."""

from collections.abc import Iterable
from typing import Final

MOST_REMEMBERED: Final = 20  # of a channel, 100 bytes each; who missed more is told all members


class RecentChanges:
    """The connections that came or left, each with the number with which it did so last.

    What came before the number that it begins with is not known, and neither is what was so long
    ago that it was forgotten.
    """

    __slots__ = ("_begin", "_numbers")

    def __init__(self, begin: int) -> None:
        self._begin = begin
        self._numbers: dict[str, int] = {}  # by connection, the oldest first

    def add(self, connections: Iterable[str], number: int) -> None:
        """Note that these came or left, as was told with a number."""
        for connection in connections:
            self._numbers.pop(connection, None)
            self._numbers[connection] = number
        while len(self._numbers) > MOST_REMEMBERED:
            self._begin = self._numbers.pop(next(iter(self._numbers)))

    def after(self, number: int) -> list[str] | None:
        """List those that came or left after a number; None if that is not known any more."""
        if number < self._begin:
            return None
        return [connection for connection, at in self._numbers.items() if at > number]
