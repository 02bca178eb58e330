"""All other nodes together: which of them have a member, may have lost it, or are silent."""

from collections.abc import Iterable

from itemwire.channels.cluster.gossip import MembersAsked, tag_of
from itemwire.channels.cluster.peer import Peer
from itemwire.messages import Member
from itemwire_auth.principal import Identity


class Peers(dict[str, Peer]):
    """The other nodes by their ids.

    A look at all of them takes 4 µs with 50, so there is no index.
    """

    @property
    def is_any_silent(self) -> bool:
        """Return whether a sign of life of one of them is overdue."""
        return any(peer.is_silent for peer in self.values())

    def is_stale_on(self, channel: str) -> bool:
        """Return whether something was missed that one of them has told on a channel."""
        return any(peer.is_stale_on(channel) for peer in self.values())

    def are_on(self, channel: str) -> bool:
        """Return whether one of them has to do with a channel, as far as is known."""
        places = (peer.places.get(channel) for peer in self.values())
        return any(place is not None and place.is_there for place in places)

    def question_on(self, channel: str) -> MembersAsked:
        """Return the question for who is on a channel, with how far each of them was heard."""
        known: dict[str, int] = {}
        missed: dict[str, int] = {}
        for id_, peer in self.items():
            place = peer.places.get(channel)
            if place is not None:
                (missed if place.is_stale else known)[tag_of(id_)] = place.known
        return MembersAsked(known, missed)

    def silent_on(self, channel: str, tags: Iterable[str]) -> list[str]:
        """List those of these nodes that live, and have not told all they have on a channel."""
        wanted = set(tags)
        return [
            id_
            for id_, peer in self.items()
            if tag_of(id_) in wanted and not peer.is_stopping and not peer.has_told(channel)
        ]

    def tags(self, channel: str = "") -> list[str]:
        """List the tags of all of them, or of those that have members on a channel."""
        return [tag_of(id_) for id_, one in self.items() if not channel or one.has_any(channel)]

    def has(self, channel: str, connection: str, except_on: Peer | None = None) -> bool:
        """Return whether any of them has a member, leaving one of them out."""
        others = (peer for peer in self.values() if peer is not except_on)
        return any(connection in peer.members.get(channel, ()) for peer in others)

    def may_have_lost(self, channel: str, identity: Identity) -> list[str]:
        """List those that have a member of this caller, which may have moved from there."""
        return [id_ for id_, peer in self.items() if peer.may_have_lost(channel, identity)]

    def take_over(self, channel: str, identity: Identity) -> Member | None:
        """Return a member of this caller that is away on one of them, to continue as it."""
        taken = (peer.take_over(channel, identity) for peer in self.values())
        return next(filter(None, taken), None)

    def discard_away(self, channel: str, connection: str) -> None:
        """Note that a member is away no longer."""
        for peer in self.values():
            peer.away.discard(channel, connection)
