"""Which members are on which channel, and what subscribers are told of it."""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Protocol

from msgspec import structs
from typing_extensions import override

from itemwire.channels.names import item_of
from itemwire.channels.presence.grace import AwayMembers
from itemwire.messages import Joined, Left, Member, MemberCount, Updated
from itemwire_auth.principal import Identity

MAX_PAGE: Final = 1000

PresenceEvent = Joined | Left | Updated | MemberCount

_id_of: Final = attrgetter("connection")


class OtherNodes(Protocol):
    """What the other nodes learn of this node's members, and what is known of theirs."""

    def report_joined(
        self, channel: str, identity: Identity, member: Member, *, is_late: bool = False
    ) -> None:
        """Report that a caller's member joined here; it may be known already, after a return.

        One that is late is told with the next tick, with all else of the channel.
        """
        ...

    def report_left(self, channel: str, member: Member) -> bool:
        """Report that a member left; return whether it is on no other node either."""
        ...

    def report_away(self, channel: str, identity: Identity, member: Member) -> None:
        """Report that a member lost its connection and may return, here or elsewhere."""
        ...

    def take_over(self, channel: str, identity: Identity) -> Member | None:
        """Return a member of this caller that is away on another node, to continue as it."""
        ...


class NoOtherNodes(OtherNodes):
    """For a node on an engine that has no other nodes."""

    @override
    def report_joined(
        self, channel: str, identity: Identity, member: Member, *, is_late: bool = False
    ) -> None:
        """Do nothing."""

    @override
    def report_left(self, channel: str, member: Member) -> bool:
        return True

    @override
    def report_away(self, channel: str, identity: Identity, member: Member) -> None:
        """Do nothing."""

    @override
    def take_over(self, channel: str, identity: Identity) -> Member | None:
        return None


@dataclass(frozen=True, slots=True)
class Page:
    """Some members of a channel, in the order of their connection ids.

    `count` is the number of all members, including those that are not listed; `next` is the
    `after` of the next page, None on the last one. It is partial if a node could not be asked.
    """

    members: list[Member]
    count: int
    next: str | None
    is_partial: bool = False


class Presence:
    """The members of each channel, by connection id, on this node and on others.

    A member is in one of these states:

        listed    subscribers were told that it joined; at most `limit` members of a channel are
        unlisted  past the limit: counted, but not announced, or a crowd would be told of each
                  newcomer and each newcomer of the crowd; listed once there is room. Where
                  members are only counted, all of them
        away      listed, but its connection broke: it leaves when the grace time is over, unless
                  its caller returns and continues as this member, which nobody notices

    A channel with unlisted members, here or elsewhere, is a crowd: until a tick finds none. So is
    one that a caller joins whose joins have cost its budget of what others are told. What
    changes in a crowd is told with the next tick, together: the listed ones that left, those that
    are listed in their place, and the number of all. Until then who left stays in the list, so that
    who comes meanwhile knows of whom it is told.

    Members are told apart by their connection id alone, never by their other fields. Another node
    may name an id with a different subject, by fault or by forgery: a comparison of whole members
    would then not find the listed one, and it would stay for ever.
    """

    def __init__(
        self,
        announce: Callable[[str, PresenceEvent], None],
        limit: int,
        grace: float,
        is_counted: Callable[[str], bool] = lambda _channel: False,
        may_tell: Callable[[str, Identity, Member], bool] = lambda _channel, _by, _member: True,
    ) -> None:
        self._announce = announce
        self._is_counted = is_counted  # whether the members of a channel are never listed
        self._may_tell = may_tell  # whether all are told at once that a caller's member joins
        self._limit = limit
        self._away = AwayMembers(grace)
        self._other_nodes: OtherNodes = NoOtherNodes()
        self._listed: dict[str, list[Member]] = {}  # sorted by id; dicts would take twice as much
        self._unlisted: dict[str, OrderedDict[str, Member]] = {}  # in the order they joined
        self._elsewhere: dict[str, int] = {}  # members that other nodes have told no names of
        # Until the next tick: crowds that a caller joins too often, and what else it changes.
        self._late: set[str] = set()
        self._late_changes: dict[tuple[str, str], tuple[Identity, Member]] = {}
        self._changed: dict[str, dict[str, None]] = {}  # crowds, with ids of listed ones that left

    def report_to(self, other_nodes: OtherNodes) -> None:
        """Report the members of this node to other nodes from now on."""
        self._other_nodes = other_nodes

    def join(self, channel: str, identity: Identity, member: Member) -> Member:
        """Add a member of this node, and return it as subscribers know it.

        If a member of the same caller is away, on any node, the new one continues as that one,
        with its own `info`.
        """
        away = self._away.take_over(channel, identity)
        away = away or self._other_nodes.take_over(channel, identity)
        if away is not None:
            member = structs.replace(away, info=member.info)
            self.discard_away(channel, member)  # in another caller's name: it would end this one
        self._late_changes.pop((channel, member.connection), None)
        is_late = False
        if not self.update(channel, member):
            would_tell = channel not in self._unlisted and self._has_room(channel)
            is_late = would_tell and not self._may_tell(channel, identity, member)
            self.add(channel, member, is_late=is_late)
            is_late |= channel in self._late
        self._other_nodes.report_joined(channel, identity, member, is_late=is_late)
        return member

    def change(self, channel: str, identity: Identity, member: Member) -> None:
        """Tell the others the `info` of a member of this node, if it is another than before.

        Past the caller's budget of what others are told it is told with the next tick.
        """
        known = self._find(channel, member.connection)
        if known is None or known.info == member.info:
            self._late_changes.pop((channel, member.connection), None)
        elif self._may_tell(channel, identity, member):
            self._change(channel, identity, member)
        else:
            self._late_changes[channel, member.connection] = identity, member

    def _change(self, channel: str, identity: Identity, member: Member) -> None:
        self._late_changes.pop((channel, member.connection), None)
        if self.update(channel, member):
            self._other_nodes.report_joined(channel, identity, member)

    def leave(self, channel: str, member: Member) -> bool:
        """Remove a member of this node; return whether it was there and is on no other node."""
        self._late_changes.pop((channel, member.connection), None)
        return self._other_nodes.report_left(channel, member) and self.remove(channel, member)

    def mark_away(self, channel: str, identity: Identity, member: Member, now: float) -> bool:
        """Keep a member whose connection broke for the grace time; return whether it was there.

        An unlisted member leaves at once: nobody knows of it.
        """
        if self._away.has_room and self._index_of(channel, member.connection) is not None:
            self._away.add(channel, identity, member, now)
            self._other_nodes.report_away(channel, identity, member)
            return True
        return self.leave(channel, member)

    def discard_away(self, channel: str, member: Member) -> bool:
        """Stop waiting for a member that is on another node now; return False if it is not away."""
        return self._away.discard(channel, member.connection)

    def add(self, channel: str, member: Member, *, is_late: bool = False) -> None:
        """Add a member of any node, which must not be there yet.

        One that is late makes a crowd of its channel until the next tick.
        """
        gone = self._changed.get(channel, {})
        if member.connection in gone:  # nobody was told that it left
            del gone[member.connection]
            self.update(channel, member)
        elif channel not in self._unlisted and self._has_room(channel) and not is_late:
            self._list(channel, member)
        else:
            self._unlisted.setdefault(channel, OrderedDict())[member.connection] = member
            self._changed.setdefault(channel, {})
            if is_late:
                self._late.add(channel)

    def most_listed(self, channel: str) -> int:
        """Return how many members of a channel may be listed."""
        return 0 if self._is_counted(channel) else self._limit

    def count_elsewhere(self, channel: str, change: int) -> None:
        """Count so many members more, or fewer, of which other nodes have told no names."""
        self._unlisted.setdefault(channel, OrderedDict())
        self._changed.setdefault(channel, {})
        count = self._elsewhere.pop(channel, 0) + change
        if count:
            self._elsewhere[channel] = count

    def update(self, channel: str, member: Member) -> bool:
        """Give a member of any node this `info`; return False if there is no such member."""
        known = self._find(channel, member.connection)
        if known is None or known.info == member.info:
            return known is not None
        updated = structs.replace(known, info=member.info)
        index = self._index_of(channel, member.connection)
        if index is None:
            self._unlisted[channel][member.connection] = updated
        else:
            self._listed[channel][index] = updated
            self._announce(channel, Updated(item_of(channel), updated))
        return True

    def remove(self, channel: str, member: Member) -> bool:
        """Remove a member of any node; return False if it was not there."""
        index = self._index_of(channel, member.connection)
        if index is None:
            return self._remove_unlisted(channel, member.connection)
        if channel in self._unlisted:
            self._changed.setdefault(channel, {})[member.connection] = None
        else:
            self._unlist(channel, index)
        return True

    def tick(self, now: float) -> None:
        """Let members leave whose grace time is over, and tell crowds what has changed.

        Called about once a second rather than with each change: a crowd that leaves would otherwise
        be announced on its way out.
        """
        for channel, member in self._away.pop_expired(now):
            self.leave(channel, member)
        for (channel, _), (identity, member) in list(self._late_changes.items()):
            self._change(channel, identity, member)
        self._late.clear()
        changed, self._changed = self._changed, {}
        for channel, gone in changed.items():
            self._tell_crowd(channel, gone)

    def page(self, channel: str, limit: int, after: str = "") -> Page:
        """Return up to `limit` listed members, at most `MAX_PAGE`, with ids greater than `after`.

        A member that stays is on exactly one page, even if others join or leave in between, and
        whichever node is asked: ids have the same order on all of them, times of joining do not.
        """
        listed = self._listed.get(channel, [])
        begin = bisect_right(listed, after, key=_id_of)
        members = listed[begin : begin + min(limit, MAX_PAGE)]
        is_more = members and begin + len(members) < len(listed)
        return Page(members, self._count(channel), members[-1].connection if is_more else None)

    def _count(self, channel: str) -> int:
        known = len(self._listed.get(channel, ())) + len(self._unlisted.get(channel, ()))
        return known + self._elsewhere.get(channel, 0)

    def _has_room(self, channel: str) -> bool:
        """Return whether another member of a channel may be listed."""
        return len(self._listed.get(channel, ())) < self.most_listed(channel)

    def _tell_crowd(self, channel: str, gone: Iterable[str]) -> None:
        """Announce who has left, who is listed in their place, and the number of all, last."""
        item, unlisted = item_of(channel), self._unlisted[channel]
        for connection in gone:
            self._unlist(channel, bisect_left(self._listed[channel], connection, key=_id_of))
        while unlisted and self._has_room(channel):
            self._list(channel, unlisted.popitem(last=False)[1])
        if not unlisted and channel not in self._elsewhere:
            del self._unlisted[channel]
        self._announce(channel, MemberCount(item, self._count(channel)))

    def _list(self, channel: str, member: Member) -> None:
        listed = self._listed.setdefault(channel, [])
        listed.insert(bisect_left(listed, member.connection, key=_id_of), member)
        self._announce(channel, Joined(item_of(channel), member))

    def _unlist(self, channel: str, index: int) -> None:
        listed = self._listed[channel]
        known = listed.pop(index)
        if not listed:
            del self._listed[channel]
        self._announce(channel, Left(item_of(channel), known))

    def _index_of(self, channel: str, connection_id: str) -> int | None:
        if connection_id in self._changed.get(channel, ()):
            return None
        listed = self._listed.get(channel, [])
        index = bisect_left(listed, connection_id, key=_id_of)
        is_there = index < len(listed) and listed[index].connection == connection_id
        return index if is_there else None

    def _find(self, channel: str, connection_id: str) -> Member | None:
        index = self._index_of(channel, connection_id)
        if index is not None:
            return self._listed[channel][index]
        unlisted = self._unlisted.get(channel)
        return None if unlisted is None else unlisted.get(connection_id)

    def _remove_unlisted(self, channel: str, connection_id: str) -> bool:
        unlisted = self._unlisted.get(channel)
        if unlisted is None or unlisted.pop(connection_id, None) is None:
            return False
        self._changed.setdefault(channel, {})
        return True
