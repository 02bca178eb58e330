"""Who was cut off and may come back: one structure for all, no timer a member."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from itemwire.messages import Member
from itemwire_auth.principal import Identity as Caller

MAX_ABSENT: Final = 100_000  # on this node, 0.7 KB each; who is cut off past them has left


@dataclass(frozen=True, slots=True)
class _Absence:
    caller: Caller
    member: Member
    since: float


class GracePeriods:
    """Members without a connection, each until it is taken over or its time is over.

    The time is the same for all, so they stand in the order in which it ends.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._absent: OrderedDict[tuple[str, str], _Absence] = OrderedDict()
        self._of_caller: dict[tuple[str, Caller], OrderedDict[str, None]] = {}

    @property
    def takes_more(self) -> bool:
        """Tell whether anybody, or anybody else, is waited for."""
        return self._grace > 0 and len(self._absent) < MAX_ABSENT

    def add(self, channel: str, caller: Caller, member: Member, now: float) -> None:
        """Wait for a caller to come back to a channel as this member."""
        self._absent[channel, member.connection] = _Absence(caller, member, now)
        self._of_caller.setdefault((channel, caller), OrderedDict())[member.connection] = None

    def take(self, channel: str, caller: Caller) -> Member | None:
        """Give, and wait no longer for, the member of a caller that was cut off first."""
        ids = self._of_caller.get((channel, caller))
        return None if ids is None else self._forget(channel, next(iter(ids))).member

    def drop(self, channel: str, connection_id: str) -> bool:
        """Wait for a member no longer; False: it was not waited for."""
        if (channel, connection_id) not in self._absent:
            return False
        self._forget(channel, connection_id)
        return True

    def clear(self) -> None:
        """Wait for nobody any longer."""
        self._absent.clear()
        self._of_caller.clear()

    def pop_over(self, now: float) -> list[tuple[str, Member]]:
        """Give and forget those whose time is over, with their channels."""
        over: list[tuple[str, Member]] = []
        while self._absent:
            (channel, connection_id), first = next(iter(self._absent.items()))
            # A clock that was set back must not make them stay for as long as that.
            if abs(now - first.since) < self._grace:
                break
            self._forget(channel, connection_id)
            over.append((channel, first.member))
        return over

    def _forget(self, channel: str, connection_id: str) -> _Absence:
        absence = self._absent.pop((channel, connection_id))
        ids = self._of_caller[channel, absence.caller]
        del ids[connection_id]
        if not ids:
            del self._of_caller[channel, absence.caller]
        return absence
