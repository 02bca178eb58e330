"""The members of other nodes as they were heard, and what subscribers here are told."""

from collections.abc import Iterable

from itemwire.channels.cluster.gossip import ClusterMember
from itemwire.channels.cluster.own_members import OwnMembers
from itemwire.channels.cluster.peer import Peer
from itemwire.channels.cluster.peers import Peers
from itemwire.channels.presence.presence import Presence
from itemwire.messages import Member


class HeardMembers:
    """Notes what each node has: a member is there from the first that has it to the last."""

    def __init__(self, own: OwnMembers, peers: Peers, presence: Presence) -> None:
        self._own = own
        self._peers = peers
        self._presence = presence

    def is_known(self, channel: str, connection: str, except_on: Peer | None = None) -> bool:
        """Return whether any node has a member, leaving one of them out."""
        is_here = self._own.has(channel, connection)
        return is_here or self._peers.has(channel, connection, except_on)

    def add(self, peer: Peer, channel: str, members: Iterable[ClusterMember]) -> bool:
        """Add members of a node; return False if there was no room for all."""
        is_stored = True
        for member in members:
            is_known = self.is_known(channel, member.connection)
            if not peer.add_member(channel, member):
                is_stored = False
            elif not is_known:
                self._presence.add(channel, member.shown)
        return is_stored

    def update(self, channel: str, members: Iterable[Member]) -> None:
        """Apply the `info` of members that are not this node's own."""
        for member in members:
            if not self._own.has(channel, member.connection):
                self._presence.update(channel, member)

    def remove(self, peer: Peer, channel: str, connections: Iterable[str]) -> None:
        """Remove members of a node."""
        for connection in connections:
            member = peer.remove_member(channel, connection)
            if member is not None and not self.is_known(channel, connection):
                self._presence.remove(channel, member)

    def remove_all(self, peer: Peer, channel: str) -> None:
        """Remove the members that a node has on a channel."""
        self.remove(peer, channel, list(peer.members.get(channel, ())))
        self.count(peer, channel, 0)

    def count(self, peer: Peer, channel: str, counted: int) -> None:
        """Note how many members a node has on a channel beside those that it told by name."""
        change = peer.count(channel, counted)
        if change:
            self._presence.count_elsewhere(channel, change)
