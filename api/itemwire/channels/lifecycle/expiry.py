"""When each connection ends by itself, and when its client is told ahead of that."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.deadlines import Deadlines
from itemwire.channels.limits.bounds import Lifetime
from itemwire.close_reasons import TOKEN_EXPIRED, TOKEN_REVOKED, CloseReason


@dataclass(frozen=True, slots=True)
class Due:
    """Whose time it is: to end, and why; to be told that the end is near."""

    over: dict[Connection, CloseReason]
    near: list[Connection]


class Expiry:
    """Watches connections until their token, their session or a revocation ends them."""

    def __init__(self, lifetime: Lifetime, leeway: float, clock: Callable[[], float]) -> None:
        self._lifetime = lifetime
        self._lateness = leeway + lifetime.grace  # what a token is let in with, it may stay with
        self._clock = clock
        self._deadlines = Deadlines()

    def of_session(self) -> int | None:
        """Tell when a connection that begins now ends, however often it is refreshed."""
        return int(self._clock()) + self._lifetime.session if self._lifetime.session else None

    def watch(self, connection: Connection) -> None:
        """Look at a connection when it is to be warned, or when it is to end."""
        self._watch_until(connection, self._warning_of(connection) or self._end_of(connection))

    def forget(self, connection: Connection) -> None:
        """Look at a connection no more, until it is watched again."""
        self._deadlines.discard(connection)

    def revoke(self, connection: Connection, at: int) -> bool:
        """End a connection then, at the latest; tell whether that is news to its client."""
        before = connection.revoked_at
        if before is not None and before <= at:
            return False
        self.forget(connection)
        connection.revoked_at = at
        self._watch_until(connection, self._end_of(connection))
        return True

    def pop_due(self) -> Due:
        """Give the connections whose time it is, and watch on those that are warned."""
        now = self._clock()
        due = self._deadlines.pop_due(now)
        near = [connection for connection in due if self._end_of(connection) > now]
        for connection in near:
            self._watch_until(connection, self._end_of(connection))
        return Due({one: self._reason_of(one) for one in due if self._end_of(one) <= now}, near)

    def _end_of(self, connection: Connection) -> float:
        end, revoked_at = self._expiry_of(connection), connection.revoked_at
        return end if revoked_at is None else min(end, revoked_at)

    def _expiry_of(self, connection: Connection) -> float:
        end = connection.principal.expires_at + self._lateness
        limit = connection.session_ends_at
        return end if limit is None else min(end, limit)

    def _reason_of(self, connection: Connection) -> CloseReason:
        is_sooner = self._end_of(connection) < self._expiry_of(connection)
        return TOKEN_REVOKED if is_sooner else TOKEN_EXPIRED

    def _watch_until(self, connection: Connection, when: float) -> None:
        connection.due_at = when
        self._deadlines.add(connection)

    def _warning_of(self, connection: Connection) -> float | None:
        """Tell when to warn, None: not at all, as where a refresh would not help.

        Not before half of what is left has gone: a client that refreshes when it is warned, with
        tokens that live shorter than the warning, would do nothing else.
        """
        expires_at, now = connection.principal.expires_at, self._clock()
        if not self._lifetime.warning or connection.expires_at < expires_at:
            return None
        half = math.ceil((now + expires_at) / 2)
        when = max(expires_at - self._lifetime.warning, half)
        return when if when < expires_at else None
