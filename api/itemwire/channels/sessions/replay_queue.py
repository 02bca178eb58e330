"""Lets the replays of one connection wait until its client has read what came before."""

from collections import deque
from collections.abc import Callable

from itemwire.channels.connection import Connection


class ReplayQueue:
    """Begins one replay at a time, in their order, and none while its client is behind.

    So a client that joins a hundred items with `since` gets all that it missed, however much that
    is, at the pace at which it reads; and one that reads nothing makes the server keep one replay.
    """

    __slots__ = ("_connection", "_is_beginning", "_is_replaying", "_waiting")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_beginning = False
        self._is_replaying = False
        self._waiting: deque[Callable[[], None]] = deque()

    def submit(self, begin: Callable[[], None]) -> None:
        """Begin a replay when its turn comes, perhaps before this returns."""
        self._waiting.append(begin)
        self.proceed()

    def done(self) -> None:
        """Note that the replay that was begun last is over, sent or not."""
        self._is_replaying = False
        self.proceed()

    def proceed(self) -> None:
        """Begin the next replay, if none runs and nothing waits for the client."""
        if self._is_beginning:  # the loop below goes on by itself
            return
        self._is_beginning = True
        try:
            while self._waiting and self._may_begin():
                self._is_replaying = True
                self._waiting.popleft()()
        finally:
            self._is_beginning = False

    def _may_begin(self) -> bool:
        is_behind = self._connection.outbox is not None
        return not self._is_replaying and not is_behind and self._connection.is_open
