"""When each connection's time is up: one structure for all, no timer a connection."""

import heapq
from typing import Final

from itemwire.channels.connection import Connection

SPARE_SECONDS: Final = 64  # seconds with nobody left in them, before they are swept out


class Deadlines:
    """Connections by the moment at which something is due for them (Unix time): one each."""

    def __init__(self) -> None:
        self._due: dict[float, set[Connection]] = {}
        self._seconds: list[float] = []  # a heap of the keys of _due

    def add(self, connection: Connection) -> None:
        """Watch a connection until its `due_at`, which stays as it is meanwhile."""
        second = connection.due_at
        if second not in self._due:
            self._due[second] = set()
            heapq.heappush(self._seconds, second)
        self._due[second].add(connection)

    def discard(self, connection: Connection) -> None:
        """Forget a connection that ended before its time."""
        second = connection.due_at
        if second not in self._due:
            return
        self._due[second].discard(connection)
        if not self._due[second]:
            del self._due[second]
        if len(self._seconds) > 2 * len(self._due) + SPARE_SECONDS:
            self._seconds = sorted(self._due)  # a sorted list is a heap

    def pop_due(self, now: float) -> list[Connection]:
        """Give and forget the connections whose time is up."""
        due: list[Connection] = []
        while self._seconds and self._seconds[0] <= now:
            due.extend(self._due.pop(heapq.heappop(self._seconds), ()))
        return due
