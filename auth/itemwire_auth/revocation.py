"""Remembers revoked tokens until they would have expired anyway."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from itemwire_auth.principal import Principal

MAX_REVOCATIONS: Final = 100_000  # about 40 MB; a full table accepts no more and forgets none
LONGEST_LIFE: Final = timedelta(days=30).total_seconds()
SWEEP_AT: Final = 1024  # expired revocations are removed each time the table has doubled

# issuer, token_id, subject, session
_Key = tuple[str | None, str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Revoked tokens: the one with an id, those of a subject, or those of one login.

    Without an issuer it covers those of every issuer: revoking too much is the safe mistake.
    `issued_before` spares a subject's newer tokens; one without `iat` counts as issued at 0.
    From `until` (Unix time) on it no longer applies.
    """

    until: float
    token_id: str | None = None
    subject: str | None = None
    issuer: str | None = None
    issued_before: float | None = None
    session: str | None = None

    def __post_init__(self) -> None:
        # With none of them it would end every socket.
        names = [name for name in (self.token_id, self.subject, self.session) if name is not None]
        if len(names) != 1:
            raise ValueError("a revocation names a token, a subject or a session: one of these")
        if self.subject is None and self.issued_before is not None:
            raise ValueError("issued_before goes with a subject")

    @property
    def key(self) -> _Key:
        """Return the key that it is found by."""
        return self.issuer, self.token_id, self.subject, self.session

    def covers(self, principal: Principal) -> bool:
        """Return whether this principal's token is revoked by it, whatever the time."""
        return (
            self.subject in (None, principal.subject)
            and self.token_id in (None, principal.token_id)
            and self.session in (None, principal.session)
            and self.issuer in (None, principal.issuer)
            and (self.issued_before is None or principal.issued_at < self.issued_before)
        )

    def includes(self, other: Revocation) -> bool:
        """Return whether another revocation with the same key adds nothing to this one."""
        return self.until >= other.until and (
            self.issued_before is None
            or (other.issued_before is not None and other.issued_before <= self.issued_before)
        )


class Revocations:
    """The revocations in force, found by a token's issuer, id, subject and session."""

    def __init__(
        self,
        *,
        longest_life: float = LONGEST_LIFE,
        max_entries: int = MAX_REVOCATIONS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._longest_life = longest_life
        self._max_entries = max_entries
        self._clock = clock
        self._entries: dict[_Key, tuple[Revocation, ...]] = {}
        self._count = 0
        self._sweep_at = min(SWEEP_AT, max_entries)

    @property
    def count(self) -> int:
        """Return how many are kept; no `len`, because an empty table must not be false."""
        return self._count

    def now(self) -> float:
        """Return the current Unix time, by which revocations end."""
        return self._clock()

    def end_of_life(self) -> float:
        """Return the Unix time at which every token that is accepted now will have expired."""
        return self._clock() + self._longest_life

    def add(self, revocation: Revocation) -> bool:
        """Refuse the tokens from now on; return False if the table is full."""
        now = self._clock()
        if self._count >= self._sweep_at:
            self._sweep(now)
        known = self._entries.get(revocation.key, ())
        if revocation.until <= now or any(one.includes(revocation) for one in known):
            return True
        kept = [one for one in known if one.until > now and not revocation.includes(one)]
        if self._count + 1 + len(kept) - len(known) > self._max_entries:
            return False
        self._entries[revocation.key] = (*kept, revocation)
        self._count += 1 + len(kept) - len(known)
        return True

    def revokes(self, principal: Principal) -> bool:
        """Return whether a verified token is revoked."""
        if not self._entries:
            return False
        now = self._clock()
        return any(
            now < one.until and one.covers(principal)
            for key in _keys_of(principal)
            for one in self._entries.get(key, ())
        )

    def _sweep(self, now: float) -> None:
        """Forget the revocations whose tokens have expired."""
        left = {
            key: tuple(one for one in entries if one.until > now)
            for key, entries in self._entries.items()
        }
        self._entries = {key: entries for key, entries in left.items() if entries}
        self._count = sum(map(len, self._entries.values()))
        self._sweep_at = min(max(2 * self._count, SWEEP_AT), self._max_entries)


def _keys_of(principal: Principal) -> Iterator[_Key]:
    """Yield every key under which a revocation of this token may be found."""
    for issuer in {principal.issuer, None}:
        yield issuer, None, principal.subject, None
        yield issuer, principal.token_id, None, None
        yield issuer, None, None, principal.session
