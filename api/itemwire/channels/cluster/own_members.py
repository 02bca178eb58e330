"""The members that this node has, and what the other nodes have asked of them."""

from collections.abc import Iterator
from typing import Final

from itemwire.channels.cluster.gossip import ClusterMember, MembersRange, member_ranges

ANSWERED_AT_ONCE: Final = 4000  # members and lines, some 256 KB in one batch


class OwnMembers:
    """This node's members by channel, and the channels that others have asked for.

    A batch answers for each channel once, however often and by however many nodes it was asked
    for. So a short question cannot cause a large amount of work, and many cause it a batch at a
    time.
    """

    def __init__(self) -> None:
        self._members: dict[str, dict[str, ClusterMember]] = {}  # by channel, then by id
        self._wanted: dict[str, None] = {}  # channels whose members were asked for

    def has(self, channel: str, connection: str) -> bool:
        """Return whether this node has a member."""
        return connection in self._members.get(channel, ())

    def get(self, channel: str, connection: str) -> ClusterMember:
        """Return a member that this node has."""
        return self._members[channel][connection]

    def add(self, channel: str, member: ClusterMember) -> None:
        """Add a member of this node."""
        self._members.setdefault(channel, {})[member.connection] = member

    def remove(self, channel: str, connection: str) -> bool:
        """Remove a member; return False if this node does not have it."""
        members = self._members.get(channel, {})
        if members.pop(connection, None) is None:
            return False
        if not members:
            del self._members[channel]
        return True

    def has_any(self, channel: str) -> bool:
        """Return whether this node has a member on a channel."""
        return channel in self._members

    def want(self, channel: str) -> None:
        """Note that somebody asks for the members of a channel."""
        self._wanted[channel] = None

    def unwant(self, channel: str) -> None:
        """Answer no more for a channel: this node has to do with it no longer."""
        self._wanted.pop(channel, None)

    @property
    def is_asked(self) -> bool:
        """Return whether there is more to answer."""
        return bool(self._wanted)

    def pop_answers(self) -> Iterator[tuple[str, list[MembersRange]]]:
        """Yield what fits a batch of what was asked for, and forget it; the rest is for the next.

        Members that join or leave between two batches are reported in between.
        """
        room = ANSWERED_AT_ONCE
        while self._wanted and room > 0:
            channel = next(iter(self._wanted))
            del self._wanted[channel]
            parts = list(member_ranges(channel, self._members.get(channel, {}).values()))
            room -= sum(1 + len(part.members) for part in parts)
            yield channel, parts
