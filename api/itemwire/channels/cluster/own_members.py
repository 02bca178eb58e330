"""The members that this node has, and what the other nodes have asked of them."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from itemwire.channels.cluster.gossip import (
    ClusterMember,
    MembersChanged,
    MembersRange,
    fits_a_line,
    member_ranges,
)

ChangedSince = Callable[[str, int], Iterable[str] | None]
"""Lists who came to a channel or left it after a number; None if that is not known."""

ANSWERED_AT_ONCE: Final = 4000  # members and lines, some 256 KB in one batch


class OwnMembers:
    """This node's members by channel, and the channels that others have asked for.

    Others are told the names of at most `room_of(channel)` members, and of the rest the number, so
    that who joins a crowd costs them nothing. A member that another node has to know of, as it had
    it before or says that it has it, is named in any case.

    A batch answers for each channel once, however often and by however many nodes it was asked
    for. So a short question cannot cause a large amount of work, and many cause it a batch at a
    time.
    """

    def __init__(self, room_of: Callable[[str], int]) -> None:
        self._room_of = room_of
        self._members: dict[str, dict[str, ClusterMember]] = {}  # by channel, then by id
        self._counted: dict[str, dict[str, ClusterMember]] = {}  # likewise, in the order they came
        self._changed: set[str] = set()  # channels with another number, or room for names
        self._wanted: dict[str, int] = {}  # channels asked for, and the number that is known

    def has(self, channel: str, connection: str) -> bool:
        """Return whether this node has a member."""
        members, counted = self._members.get(channel, ()), self._counted.get(channel, ())
        return connection in members or connection in counted

    def add(
        self, channel: str, member: ClusterMember, *, by_name: bool = False, is_late: bool = False
    ) -> bool:
        """Add a member of this node, or its new `info`; return whether others know its name.

        Of one that is late they do with the next tick at the earliest.
        """
        is_known = member.connection in self._members.get(channel, {})
        if by_name or is_known or (self._may_name(channel) and not is_late):
            self._take_counted(channel, member.connection)
            self._members.setdefault(channel, {})[member.connection] = member
            return True
        self._counted.setdefault(channel, {})[member.connection] = member
        self._changed.add(channel)
        return False

    def name(self, channel: str, connection: str) -> ClusterMember:
        """Return a member of this node, of which others know the name from now on."""
        member = self._take_counted(channel, connection)
        members = self._members.setdefault(channel, {})
        return members[connection] if member is None else members.setdefault(connection, member)

    def remove(self, channel: str, connection: str) -> bool:
        """Remove a member; return whether others know its name."""
        members = self._members.get(channel, {})
        if members.pop(connection, None) is None:
            self._take_counted(channel, connection)
            return False
        if not members:
            del self._members[channel]
        if channel in self._counted:
            self._changed.add(channel)
        return True

    def has_any(self, channel: str) -> bool:
        """Return whether this node has a member on a channel."""
        return channel in self._members or channel in self._counted

    def counted(self, channel: str) -> int:
        """Return how many members there are of which others know no names."""
        return len(self._counted.get(channel, ()))

    def pop_changed(self) -> Iterator[tuple[str, list[ClusterMember]]]:
        """Yield the channels of which others know another number, and who is named from now on."""
        changed, self._changed = self._changed, set()
        for channel in changed:
            room = self._room_of(channel) - len(self._members.get(channel, ()))
            first = list(islice(self._counted.get(channel, ()), max(room, 0)))
            yield channel, [self.name(channel, connection) for connection in first]
        self._changed -= changed  # as those that were named have changed it

    def want(self, channel: str, since: int = 0) -> None:
        """Note that somebody asks for the members of a channel who came or left since a number."""
        self._wanted[channel] = min(since, self._wanted.get(channel, since))

    def unwant(self, channel: str) -> None:
        """Answer no more for a channel: this node has to do with it no longer."""
        self._wanted.pop(channel, None)

    @property
    def is_asked(self) -> bool:
        """Return whether there is more to answer."""
        return bool(self._wanted)

    def pop_answers(
        self, changed_since: ChangedSince
    ) -> Iterator[tuple[str, list[MembersRange] | MembersChanged]]:
        """Yield what fits a batch of what was asked for, and forget it; the rest is for the next.

        That is who has come or left, where all who ask know the others. Members that join or leave
        between two batches are reported in between.
        """
        room = ANSWERED_AT_ONCE
        while self._wanted and room > 0:
            channel, since = next(iter(self._wanted.items()))
            del self._wanted[channel]
            known = changed_since(channel, since) if since else None
            changed = self._changed_since(channel, since, known)
            if changed is not None:
                room -= 1 + len(changed.members)
                yield channel, changed
                continue
            parts = list(member_ranges(channel, self._members.get(channel, {}).values()))
            room -= sum(1 + len(part.members) for part in parts)
            yield channel, parts

    def _changed_since(
        self, channel: str, since: int, connections: Iterable[str] | None
    ) -> MembersChanged | None:
        """Tell what became of these members; None if it is not known who, or they are too many."""
        if connections is None:
            return None
        named = self._members.get(channel, {})
        members = [named[one] for one in connections if one in named]
        gone = [one for one in connections if one not in named]
        if not fits_a_line(members):
            return None
        return MembersChanged(channel, since, members, gone, self.counted(channel))

    def _may_name(self, channel: str) -> bool:
        members = self._members.get(channel, ())
        return channel not in self._counted and len(members) < self._room_of(channel)

    def _take_counted(self, channel: str, connection: str) -> ClusterMember | None:
        counted = self._counted.get(channel, {})
        member = counted.pop(connection, None)
        if member is not None:
            self._changed.add(channel)
            if not counted:
                del self._counted[channel]
        return member
