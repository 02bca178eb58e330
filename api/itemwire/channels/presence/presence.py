"""Who is on which channel, and what those who watch are told of it."""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Protocol

from typing_extensions import override

from itemwire.channels.names import item_of
from itemwire.channels.presence.grace import GracePeriods
from itemwire.messages import Joined, Left, Member
from itemwire_auth.principal import Identity as Caller

MAX_PAGE: Final = 1000

_id_of: Final = attrgetter("connection")


class OtherNodes(Protocol):
    """The other nodes: what they are told of the members of this one, and what they have."""

    def came(self, channel: str, member: Member) -> None:
        """Hear that a member came here, also one that is known already."""
        ...

    def went(self, channel: str, member: Member) -> bool:
        """Hear that a member went; True: it is on no other node either."""
        ...

    def was_cut_off(self, channel: str, caller: Caller, member: Member) -> None:
        """Hear that a member may come back, here or elsewhere."""
        ...

    def take_over(self, channel: str, caller: Caller) -> Member | None:
        """Give a member of this caller that was cut off on another node, to go on as."""
        ...


class NoOtherNodes(OtherNodes):
    """There is no other node."""

    @override
    def came(self, channel: str, member: Member) -> None:
        """Tell nobody."""

    @override
    def went(self, channel: str, member: Member) -> bool:
        return True

    @override
    def was_cut_off(self, channel: str, caller: Caller, member: Member) -> None:
        """Tell nobody."""

    @override
    def take_over(self, channel: str, caller: Caller) -> Member | None:
        return None


@dataclass(frozen=True, slots=True)
class Page:
    """Some members of a channel, by connection id.

    `count` is how many there are, also of those that are not listed on any page; `next` is the
    `after` of the next page.
    """

    members: list[Member]
    count: int
    next: str | None


class Presence:
    """The members of each channel, by connection id; it knows no connection.

    Past `limit` members of a channel, further ones are counted, neither listed nor announced:
    else whoever joins a crowd is told of it, and it of whoever joins. They are listed when there
    is room again.
    """

    def __init__(
        self, announce: Callable[[str, Joined | Left], None], limit: int, grace: float
    ) -> None:
        self._announce = announce
        self._limit = limit
        self._absences = GracePeriods(grace)
        self._elsewhere: OtherNodes = NoOtherNodes()
        self._listed: dict[str, list[Member]] = {}  # sorted: a dict each takes twice as much
        self._unlisted: dict[str, OrderedDict[str, Member]] = {}  # in the order they came
        self._vacant: set[str] = set()  # channels that may have room for unlisted ones

    def tell(self, elsewhere: OtherNodes) -> None:
        """Tell other nodes, from now on, of each member of this one."""
        self._elsewhere = elsewhere

    def join(self, channel: str, caller: Caller, member: Member) -> Member:
        """Note that a member came, and give it as the others know it.

        If its caller was cut off a short while ago, on any node, it goes on as the member it was.
        """
        member = (
            self._absences.take(channel, caller)
            or self._elsewhere.take_over(channel, caller)
            or member
        )
        if not self._is_there(channel, member):
            self.arrive(channel, member)
        self._elsewhere.came(channel, member)
        return member

    def arrive(self, channel: str, member: Member) -> None:
        """Note that a member came on another node."""
        if len(self._listed.get(channel, ())) < self._limit:
            self._list(channel, member)
        else:
            self._unlisted.setdefault(channel, OrderedDict())[member.connection] = member

    def leave(self, channel: str, member: Member) -> bool:
        """Note that a member went; False: it was not there."""
        return self._elsewhere.went(channel, member) and self.depart(channel, member)

    def let_go(self, channel: str, member: Member) -> bool:
        """Wait no longer for a member that is on another node now; False: it is not absent."""
        return self._absences.drop(channel, member.connection)

    def depart(self, channel: str, member: Member) -> bool:
        """Note that a member of any node went; False: it was not there."""
        place = self._place_of(channel, member)
        if place is None:
            return self._uncount(channel, member)
        listed = self._listed[channel]
        del listed[place]
        if not listed:
            del self._listed[channel]
        if channel in self._unlisted:
            self._vacant.add(channel)
        self._announce(channel, Left(item_of(channel), member))
        return True

    def mark_away(self, channel: str, caller: Caller, member: Member, now: float) -> bool:
        """Note that a member's connection broke; False: it was not there.

        Nobody is told of one that comes back within the grace time. Of one that is not listed
        nobody knows, so that one just leaves.
        """
        if self._absences.takes_more and self._place_of(channel, member) is not None:
            self._absences.add(channel, caller, member, now)
            self._elsewhere.was_cut_off(channel, caller, member)
            return True
        return self.leave(channel, member)

    def tick(self, now: float) -> None:
        """Tell of those who did not come back, and list others in the room that was made.

        Once in a while and not with each who leaves: a crowd that goes away would else be
        announced on its way out.
        """
        for channel, member in self._absences.pop_over(now):
            self.leave(channel, member)
        vacant, self._vacant = self._vacant, set()
        for channel in vacant:
            unlisted = self._unlisted.get(channel)
            while unlisted and len(self._listed.get(channel, ())) < self._limit:
                self._list(channel, unlisted.popitem(last=False)[1])
            if not unlisted:
                self._unlisted.pop(channel, None)

    def page(self, channel: str, limit: int, after: str = "") -> Page:
        """List so many members, at most `MAX_PAGE`, with a greater id than `after`.

        Whatever comes and goes meanwhile, who stays is on exactly one page; on any node, for
        which their order of arrival would not do.
        """
        listed = self._listed.get(channel, [])
        begin = bisect_right(listed, after, key=_id_of)
        members = listed[begin : begin + min(limit, MAX_PAGE)]
        is_more = members and begin + len(members) < len(listed)
        count = len(listed) + len(self._unlisted.get(channel, ()))
        return Page(members, count, members[-1].connection if is_more else None)

    def _list(self, channel: str, member: Member) -> None:
        listed = self._listed.setdefault(channel, [])
        listed.insert(bisect_left(listed, member.connection, key=_id_of), member)
        self._announce(channel, Joined(item_of(channel), member))

    def _place_of(self, channel: str, member: Member) -> int | None:
        listed = self._listed.get(channel, [])
        place = bisect_left(listed, member.connection, key=_id_of)
        return place if listed[place : place + 1] == [member] else None

    def _is_there(self, channel: str, member: Member) -> bool:
        if self._place_of(channel, member) is not None:
            return True
        return member.connection in self._unlisted.get(channel, ())

    def _uncount(self, channel: str, member: Member) -> bool:
        unlisted = self._unlisted.get(channel)
        if unlisted is None or unlisted.pop(member.connection, None) is None:
            return False
        if not unlisted:
            del self._unlisted[channel]
        return True
