"""Members whose connection broke and that may return: one structure, no timer each."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from itemwire.messages import Member
from itemwire_auth.principal import Identity

MAX_AWAY: Final = 100_000  # on one node, 0.7 KB each; a member past them leaves at once


@dataclass(frozen=True, slots=True)
class _Absence:
    identity: Identity
    member: Member
    since: float


class AwayMembers:
    """Members without a connection, each until its caller returns or the grace time is over.

    The grace time is the same for all of them, so the order in which they were added is the order
    in which their time is over.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._absences: OrderedDict[tuple[str, str], _Absence] = OrderedDict()
        self._by_caller: dict[tuple[str, Identity], OrderedDict[str, None]] = {}

    @property
    def has_room(self) -> bool:
        """Return whether another member may be added: there is a grace time, and room."""
        return self._grace > 0 and len(self._absences) < MAX_AWAY

    def add(self, channel: str, identity: Identity, member: Member, now: float) -> None:
        """Wait for a caller to return to a channel as this member."""
        self.discard(channel, member.connection)
        self._absences[channel, member.connection] = _Absence(identity, member, now)
        self._by_caller.setdefault((channel, identity), OrderedDict())[member.connection] = None

    def take_over(self, channel: str, identity: Identity) -> Member | None:
        """Remove and return the member of a caller that has been away for longest, if any."""
        ids = self._by_caller.get((channel, identity))
        return None if ids is None else self._remove(channel, next(iter(ids))).member

    def has(self, channel: str, connection_id: str) -> bool:
        """Return whether a member is away."""
        return (channel, connection_id) in self._absences

    def discard(self, channel: str, connection_id: str) -> bool:
        """Stop waiting for a member; return False if it was not away."""
        if not self.has(channel, connection_id):
            return False
        self._remove(channel, connection_id)
        return True

    def clear(self) -> None:
        """Stop waiting for all of them."""
        self._absences.clear()
        self._by_caller.clear()

    def pop_expired(self, now: float) -> list[tuple[str, Member]]:
        """Remove and return the members whose grace time is over, with their channels."""
        expired: list[tuple[str, Member]] = []
        while self._absences:
            (channel, connection_id), first = next(iter(self._absences.items()))
            # A clock that was set back by an hour must not keep them for an hour.
            if abs(now - first.since) < self._grace:
                break
            self._remove(channel, connection_id)
            expired.append((channel, first.member))
        return expired

    def _remove(self, channel: str, connection_id: str) -> _Absence:
        absence = self._absences.pop((channel, connection_id))
        ids = self._by_caller[channel, absence.identity]
        del ids[connection_id]
        if not ids:
            del self._by_caller[channel, absence.identity]
        return absence
