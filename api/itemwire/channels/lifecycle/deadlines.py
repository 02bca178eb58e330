"""The deadlines of connections: one structure for all of them, no timer each."""

import heapq
from typing import Final

from itemwire.channels.connection import Connection

MAX_EMPTY: Final = 64  # deadlines without connections that stay in the heap before it is rebuilt


class Deadlines:
    """Connections by their deadline, a Unix time; each connection has one."""

    def __init__(self) -> None:
        self._due: dict[float, set[Connection]] = {}
        self._heap: list[float] = []  # the keys of `_due`, and some that have no connections left

    def add(self, connection: Connection) -> None:
        """Add a connection with its `due_at`, which must not change until it is removed."""
        deadline = connection.due_at
        others = self._due.get(deadline)
        if others is None:
            self._due[deadline] = {connection}
            heapq.heappush(self._heap, deadline)
        else:
            connection.due_at = next(iter(others)).due_at  # the same number, kept once
            others.add(connection)

    def discard(self, connection: Connection) -> None:
        """Remove a connection before its deadline; do nothing if it is not there."""
        deadline = connection.due_at
        if deadline not in self._due:
            return
        self._due[deadline].discard(connection)
        if not self._due[deadline]:
            del self._due[deadline]
        if len(self._heap) > 2 * len(self._due) + MAX_EMPTY:
            self._heap = sorted(self._due)  # a sorted list is a heap

    def pop_due(self, now: float) -> list[Connection]:
        """Remove and return the connections whose deadline has passed."""
        due: list[Connection] = []
        while self._heap and self._heap[0] <= now:
            due.extend(self._due.pop(heapq.heappop(self._heap), ()))
        return due
