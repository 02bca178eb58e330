"""Signs of life for clients that asked for them, without a timer for each."""

from typing import Final

from itemwire.channels.connection import Connection
from itemwire.messages import Heartbeat

HEARTBEAT: Final = Heartbeat()


class Heartbeats:
    """Sends each connection that asked for it a `ping` every so many seconds.

    `tick` is called about once a second, and time is counted in ticks: a clock that is set back
    must not make every client believe that its connection is dead.
    """

    def __init__(self) -> None:
        self._now = 0
        self._due: dict[int, dict[Connection, int]] = {}  # with their periods, by the tick
        self._due_at: dict[Connection, int] = {}

    def watch(self, connection: Connection, period: int) -> None:
        """Send a connection a `ping` after every so many seconds, until it is forgotten."""
        due_at = self._due_at[connection] = self._now + period
        self._due.setdefault(due_at, {})[connection] = period

    def forget(self, connection: Connection) -> None:
        """Send a connection nothing more; do nothing if it is not there."""
        due_at = self._due_at.pop(connection, None)
        if due_at is not None:
            del self._due[due_at][connection]
            if not self._due[due_at]:
                del self._due[due_at]

    def period_of(self, connection: Connection) -> int | None:
        """Return the seconds between two signs of life; None for a client that gets none."""
        due_at = self._due_at.get(connection)
        return None if due_at is None else self._due[due_at][connection]

    def tick(self) -> None:
        """Send a `ping` to each connection for which it is time."""
        self._now += 1
        due = self._due.pop(self._now, {})
        for connection, period in due.items():  # first: an end of one below may forget others
            self.watch(connection, period)
        for connection in due:
            # A client that is behind has more to read than it can, and `welcome` comes first.
            if connection.is_welcomed and connection.outbox is None:
                connection.send(HEARTBEAT)
