"""When each connection ends by itself, and when its client is warned of that."""

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.deadlines import Deadlines
from itemwire.channels.limits.bounds import Lifetime
from itemwire.close_reasons import TOKEN_EXPIRED, TOKEN_REVOKED, CloseReason
from itemwire.messages import Expiring
from itemwire_auth.principal import Principal

logger = logging.getLogger("itemwire.channels")


@dataclass(frozen=True, slots=True)
class Due:
    """The connections whose deadline has passed: those to end, with the reason, and to warn."""

    ended: dict[Connection, CloseReason]
    warned: list[Connection]


class Expiry:
    """Watches connections until their token, their session or a revocation ends them.

    A connection has one deadline at a time: first the moment of its warning, if it gets one, and
    then that of its end.
    """

    def __init__(self, lifetime: Lifetime, leeway: float, clock: Callable[[], float]) -> None:
        self._lifetime = lifetime
        self._tolerance = leeway + lifetime.grace  # a token accepted late may also stay as late
        self._clock = clock
        self._deadlines = Deadlines()

    def session_end(self) -> int | None:
        """Return when a connection that opens now ends, however often it is refreshed."""
        return int(self._clock()) + self._lifetime.session if self._lifetime.session else None

    def watch(self, connection: Connection) -> None:
        """Set a connection's deadline: its warning, or its end if it gets none."""
        self._watch_until(connection, self._warning_of(connection) or self._end_of(connection))

    def renew(self, connection: Connection, principal: Principal) -> None:
        """Give a connection another token of its caller, and with it another deadline."""
        self.forget(connection)
        connection.principal = principal
        connection.revoked_at = None  # that was about the token before
        self.watch(connection)
        logger.info(
            "renewed connection=%s subject=%r expires_at=%s",
            connection.id,
            principal.subject,
            connection.expiry,
        )

    def forget(self, connection: Connection) -> None:
        """Take back a connection's deadline, until it is watched again."""
        self._deadlines.discard(connection)

    def revoke(self, connection: Connection, at: int) -> bool:
        """End a connection at this Unix time at the latest; return whether that is sooner now."""
        before = connection.revoked_at
        if before is not None and before <= at:
            return False
        self.forget(connection)
        connection.revoked_at = at
        self._watch_until(connection, self._end_of(connection))
        return True

    def pop_due(self) -> Due:
        """Return the connections whose deadline has passed; those warned get their end as next."""
        now = self._clock()
        due = self._deadlines.pop_due(now)
        warned = [connection for connection in due if self._end_of(connection) > now]
        for connection in warned:
            self._watch_until(connection, self._end_of(connection))
        return Due({one: self._reason_of(one) for one in due if self._end_of(one) <= now}, warned)

    def _end_of(self, connection: Connection) -> float:
        end, revoked_at = self._expiry_of(connection), connection.revoked_at
        return end if revoked_at is None else min(end, revoked_at)

    def _expiry_of(self, connection: Connection) -> float:
        end = connection.principal.expires_at + self._tolerance
        limit = connection.session_ends_at
        return end if limit is None else min(end, limit)

    def _reason_of(self, connection: Connection) -> CloseReason:
        is_sooner = self._end_of(connection) < self._expiry_of(connection)
        return TOKEN_REVOKED if is_sooner else TOKEN_EXPIRED

    def _watch_until(self, connection: Connection, when: float) -> None:
        connection.due_at = when
        self._deadlines.add(connection)

    def _warning_of(self, connection: Connection) -> float | None:
        """Return when to warn; None for not at all, as where a refresh would not help.

        A warning never comes before half of the remaining time is over. Otherwise a client whose
        tokens live shorter than the warning time would do nothing but refresh.
        """
        expires_at, now = connection.principal.expires_at, self._clock()
        if not self._lifetime.warning or connection.expires_at < expires_at:
            return None
        half = math.ceil((now + expires_at) / 2)
        when = max(expires_at - self._lifetime.warning, half)
        return when if when < expires_at else None


def send_expiring(connections: Iterable[Connection]) -> None:
    """Tell clients when their connections end, if they can do something about it."""
    for connection in connections:
        # A client that joins just now reads it in `welcome`; an echo cannot be refreshed.
        if connection.is_welcomed:
            connection.send(Expiring(connection.expires_at))
