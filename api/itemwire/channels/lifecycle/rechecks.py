"""When each connection's caller is asked about again, without a timer for each."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.expiry import Expiry
from itemwire_auth.principal import Principal

AT_ONCE: Final = 8  # callers of one node who are asked about concurrently
RETRY_SECONDS: Final = 10  # after which it is tried again where nothing could be found out

Recheck = Callable[[Callable[[bool], None]], None]
"""Asks about a caller again, and ends the connection if it may not stay.

It answers once, whether it could not find out: then the connection stays, and it is tried again.
"""


class Rechecks:
    """Asks about the caller of each connection once per interval, evenly spread over time.

    `tick` is called about once a second. A connection is due at a whole second, so there are at
    most as many groups as an interval has seconds.
    """

    def __init__(
        self,
        interval: float,
        expiry: Expiry,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._interval = interval
        self._expiry = expiry
        self._clock = clock
        self._random = random
        self._due: dict[int, dict[Connection, Recheck]] = {}  # by Unix time
        self._due_at: dict[Connection, int] = {}
        self._waiting: deque[tuple[Connection, Recheck]] = deque()
        self._asking = 0
        self._is_beginning = False

    def watch(self, connection: Connection, recheck: Recheck) -> None:
        """Ask about a connection from now on, until it is forgotten."""
        # Clients that come together, as after a restart, are not asked about together.
        self._watch_for(self._interval * (1 + self._random()) / 2, connection, recheck)

    def forget(self, connection: Connection) -> None:
        """Ask no more about a connection, which has ended; do nothing if it is not there."""
        due_at = self._due_at.pop(connection, None)
        if due_at is not None:
            del self._due[due_at][connection]

    def confirm(self, connection: Connection, principal: Principal) -> None:
        """Take over what is known anew about a caller who may stay, such as a later expiry.

        A revocation that ends the connection soon still does: its caller has shown nothing new.
        """
        known = connection.principal
        found = replace(principal, issued_at=known.issued_at)
        if found != known:
            self._expiry.forget(connection)
            connection.principal = found
            self._expiry.watch(connection)

    def tick(self) -> None:
        """Begin to ask about those that are due, a few at a time."""
        now = self._clock()
        for due_at in sorted(when for when in self._due if when <= now):
            for connection, recheck in self._due.pop(due_at).items():
                del self._due_at[connection]
                self._waiting.append((connection, recheck))
        self._begin()

    def _watch_for(self, seconds: float, connection: Connection, recheck: Recheck) -> None:
        due_at = self._due_at[connection] = int(self._clock() + max(seconds, 1))
        self._due.setdefault(due_at, {})[connection] = recheck

    def _begin(self) -> None:
        if self._is_beginning:  # an answer that came at once: the loop below goes on
            return
        self._is_beginning = True
        while self._waiting and self._asking < AT_ONCE:
            connection, recheck = self._waiting.popleft()
            if connection.is_open:
                self._asking += 1
                recheck(partial(self._answered, connection, recheck))
        self._is_beginning = False

    def _answered(self, connection: Connection, recheck: Recheck, is_unknown: bool) -> None:
        self._asking -= 1
        if connection.is_open:
            seconds = min(RETRY_SECONDS, self._interval) if is_unknown else self._interval
            self._watch_for(seconds, connection, recheck)
        self._begin()
