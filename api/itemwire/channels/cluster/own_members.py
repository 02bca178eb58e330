"""The members that this node has, and what the other nodes have asked of them."""

from collections.abc import Iterable, Iterator
from typing import Final

from itemwire.channels.cluster.gossip import ClusterMember, Line, StateSent, member_ranges

ANSWERED_AT_ONCE: Final = 4000  # members and lines, some 256 KB in one batch


class OwnMembers:
    """This node's members by channel, and the requests of other nodes that are to be answered.

    An answer contains each channel once, however often and by however many nodes it was asked
    for. So a short request cannot cause a large amount of work, and a long one causes it a batch
    at a time.
    """

    def __init__(self) -> None:
        self._members: dict[str, dict[str, ClusterMember]] = {}  # by channel, then by id
        self._wanted: dict[str, None] = {}  # channels whose members were asked for
        self._requests: dict[str, int] = {}  # node and number of its latest request
        self._sign_to: dict[str, None] = {}  # nodes that asked whether this one lives

    def has(self, channel: str, connection: str) -> bool:
        """Return whether this node has a member."""
        return connection in self._members.get(channel, ())

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

    def request(self, node_id: str, number: int, channels: Iterable[str]) -> None:
        """Note that a node asks for these channels, and so no longer for those before."""
        self._wanted.update(dict.fromkeys(channels))
        self._requests[node_id] = number

    def sign_to(self, node_id: str) -> None:
        """Note that a node asks whether this one lives."""
        self._sign_to[node_id] = None

    def forget_node(self, node_id: str) -> None:
        """Answer a node no more: it is gone."""
        self._requests.pop(node_id, None)
        self._sign_to.pop(node_id, None)

    @property
    def is_asked(self) -> bool:
        """Return whether there is more to answer."""
        return bool(self._wanted or self._requests or self._sign_to)

    def pop_answers(self) -> Iterator[Line]:
        """Yield what fits a batch of what was asked for, and forget it; the rest is for the next.

        Members that join or leave between two batches are reported in between.
        """
        signs, self._sign_to = self._sign_to, {}
        for node_id in signs:
            yield StateSent(node_id, 0)
        room = ANSWERED_AT_ONCE
        while self._wanted and room > 0:
            channel = next(iter(self._wanted))
            del self._wanted[channel]
            for part in member_ranges(channel, self._members.get(channel, {}).values()):
                yield part
                room -= 1 + len(part.members)
        if not self._wanted:
            requests, self._requests = self._requests, {}
            for node_id, number in requests.items():
                yield StateSent(node_id, number)
