"""What this node knows of another node, and on which channels that may be wrong."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from itemwire.channels.cluster.gossip import NAMES_BYTES_A_LINE, ClusterMember
from itemwire.channels.presence.grace import AwayMembers
from itemwire.messages import Member
from itemwire_auth.principal import Identity

HEARTBEAT_TICKS: Final = 3  # each sign goes to every node: what they cost grows with nodes²
DEAD_TICKS: Final = 7  # two heartbeats, and one tick because ticks do not align
SILENT_TICKS: Final = HEARTBEAT_TICKS + 2  # without a heartbeat that was due
ANSWER_TICKS: Final = 3  # without an answer after so many ticks, a request is sent again
MAX_SEARCHED: Final = 1000  # members of a channel, 25 µs; more of one item are a crowd
AWAY_TICKS: Final = DEAD_TICKS + 1  # for which an absent member may be taken over at least
MOST_LATE: Final = 8  # numbers in a row that are not higher than the one before
MAX_MEMBERS: Final = 1_000_000  # of one peer, 0.2 KB each: more sockets than one node can hold


class Place:
    """How far another node was heard on a channel that is kept here.

    It is stale if something was missed: some of its members there may be wrong until it has told
    who came or left since the last number before that, or all of them, in ranges without a hole
    in between.
    """

    __slots__ = ("_late", "is_stale", "is_there", "is_told_anew", "known", "last")

    def __init__(self) -> None:
        self.last = 0  # the number of what was heard last
        self.known = 0  # up to which number nothing was missed
        self._late = 0  # how often a number came that is not higher, one after the other
        self.is_stale = False
        self.is_there = False  # it has to do with the channel, as far as is known
        self.is_told_anew = False  # from the first range on, so far

    def is_late(self, number: int) -> bool:
        """Return whether a number was heard already, or is of no use any more.

        If nothing but such numbers comes, the higher one was no number of this node.
        """
        self._late = self._late + 1 if number <= self.last else 0
        if self._late > MOST_LATE:
            self.last = self.known = self._late = 0
        return self._late > 0

    def advance(self, number: int, previous: int, *, has_lines: bool = True) -> None:
        """Note that something was heard, and whether anything before it was missed."""
        self.is_there = has_lines or previous > 0
        if previous not in {0, self.last}:
            self.is_stale, self.is_told_anew = True, False
        elif not previous:
            self.is_stale = False
        self.last = number
        self._note_known()

    def doubt(self) -> None:
        """Have all its members told again, whatever was heard."""
        self.is_stale, self.known = True, 0

    def note_part(self, after: str) -> None:
        """Note that a range of its members was told."""
        self.is_told_anew |= not after

    def note_all_told(self) -> None:
        """Note that the last of its ranges was told before."""
        self.is_stale &= not self.is_told_anew
        self.is_told_anew = False
        self._note_known()

    def note_changes(self, since: int) -> None:
        """Note that it was told who came or left after a number."""
        self.is_stale &= self.known < since
        self._note_known()

    def _note_known(self) -> None:
        if not self.is_stale:
            self.known = self.last


class Peer:
    """Another node: its members on the channels kept here, and its signs of life.

    What it is asked for by notices is stale until it was requested and `StateSent` has come. A
    second miss while a request is open makes it stale again, since the answer may have been begun
    before the miss.
    """

    __slots__ = (
        "_member_count",
        "_ticks",
        "_waited_ticks",
        "away",
        "counted",
        "is_stopping",
        "is_suspect",
        "last_number",
        "max_silent_ticks",
        "members",
        "places",
        "request_number",
        "requested",
        "silent_ticks",
        "stale",
        "taken_over",
    )

    def __init__(self, last_number: int, away_ticks: float = AWAY_TICKS) -> None:
        self.last_number = last_number  # of its notices, the one that was read last
        self.places: dict[str, Place] = {}  # by channel
        self.members: dict[str, dict[str, ClusterMember]] = {}  # by channel, then by connection id
        self.counted: dict[str, int] = {}  # by channel, how many it has told no names of
        # Its own node says when the grace time is over, to those who hear the item alone.
        self.away = AwayMembers(max(away_ticks, AWAY_TICKS))
        self._ticks = 0
        self.stale: OrderedDict[str, None] = OrderedDict()  # channels, in the order to ask for
        self.requested: tuple[str, ...] = ()  # those stale channels that it has been asked for
        self.request_number = 0
        self.silent_ticks = 0
        self.max_silent_ticks = DEAD_TICKS
        self.is_stopping = False  # it said so: nobody is left to answer a request
        self.is_suspect = False  # it may have been killed: its members may return elsewhere
        self.taken_over: set[tuple[str, str]] = set()  # channels and ids, since it is suspect
        self._waited_ticks = 0
        self._member_count = 0

    def add_member(self, channel: str, member: ClusterMember) -> bool:
        """Store a member; return False if there is no room for another one."""
        members = self.members.setdefault(channel, {})
        if member.connection not in members:
            if self._member_count >= MAX_MEMBERS:
                return False
            self._member_count += 1
        members[member.connection] = member
        return True

    def remove_member(self, channel: str, connection_id: str) -> ClusterMember | None:
        """Remove a member and return it; None if the peer does not have it."""
        members = self.members.get(channel, {})
        member = members.pop(connection_id, None)
        if member is not None:
            self._member_count -= 1
            if not members:
                del self.members[channel]
        return member

    def has_any(self, channel: str) -> bool:
        """Return whether it has members on a channel, as far as is known."""
        return channel in self.members or channel in self.counted

    def count(self, channel: str, counted: int) -> int:
        """Note how many members it has told no names of; return by how much that has changed."""
        change = counted - self.counted.pop(channel, 0)
        if counted:
            self.counted[channel] = counted
        return change

    def may_have_lost(self, channel: str, identity: Identity) -> bool:
        """Return whether it has a member of this caller, who is on another node now.

        That is a second connection of the caller, unless this node was killed. Of one that is
        suspect, or stops, it is known already. A crowd is not searched.
        """
        members = self.members.get(channel, {})
        is_crowd = channel in self.counted or len(members) > MAX_SEARCHED
        if self.is_suspect or self.is_stopping or is_crowd:
            return False
        return any(
            one.identity == identity and not self.away.has(channel, one.connection)
            for one in members.values()
        )

    def suspect(self) -> None:
        """Take its members for away: it may have been killed, and its clients return elsewhere."""
        self.is_suspect = True
        for channel, members in self.members.items():
            for one in members.values():
                if self.away.has_room and not self.away.has(channel, one.connection):
                    self.add_away(channel, one.identity, one.shown)

    def add_away(self, channel: str, identity: Identity, member: Member) -> None:
        """Note that a member of it may be taken over, for a time."""
        self.away.add(channel, identity, member, self._ticks)

    def take_over(self, channel: str, identity: Identity) -> Member | None:
        """Remove and return a member of this caller that is away, to continue as it elsewhere."""
        member = self.away.take_over(channel, identity)
        if member is not None and self.is_suspect:
            self.remove_member(channel, member.connection)
            self.taken_over.add((channel, member.connection))
        return member

    def tick(self) -> bool:
        """Count a second without a sign of life; return whether the peer is given up."""
        self.silent_ticks += 1
        self._ticks += 1
        self.away.pop_expired(self._ticks)
        if self.requested:
            self._waited_ticks += 1
            if self._waited_ticks >= ANSWER_TICKS:
                self._cancel_request()
        return self.silent_ticks >= self.max_silent_ticks

    def mark_stopping(self, ticks: int) -> None:
        """Expect nothing more of it, and keep its members for so many ticks."""
        self.is_stopping = True
        self.max_silent_ticks = ticks
        self.stale.clear()
        self._cancel_request()

    def note_sign(self, number: int) -> None:
        """Note that it has sent the notice with this number."""
        self.last_number = number
        self.silent_ticks = 0

    def mark_running(self) -> None:
        """Undo `mark_stopping` and `suspect`: the node has sent something again."""
        self.is_stopping = self.is_suspect = False
        self.max_silent_ticks = DEAD_TICKS

    def mark_stale(self, channels: Iterable[str], *, is_missed: bool) -> None:
        """Ask for these channels at the next opportunity.

        With `is_missed`, an answer that is on its way may lack what was missed: ask again.
        """
        if not self.is_stopping:
            self.stale.update(dict.fromkeys(channels))
            if is_missed:
                self._cancel_request()

    @property
    def is_silent(self) -> bool:
        """Return whether a sign of life is overdue, so that it may have other members by now."""
        return self.silent_ticks >= SILENT_TICKS and not self.is_stopping

    def is_stale_on(self, channel: str) -> bool:
        """Return whether its members on a channel may be wrong, and it can be asked for them."""
        place = self.places.get(channel)
        return place is not None and place.is_stale and not self.is_stopping

    def has_told(self, channel: str) -> bool:
        """Return whether all its members on a channel are known, as far as it was heard."""
        place = self.places.get(channel)
        return place is not None and not place.is_stale

    def request(self, number: int) -> tuple[str, ...]:
        """Note that it is asked, with this number, for the channels that are returned."""
        names: list[str] = []
        room = NAMES_BYTES_A_LINE
        for channel in self.stale:
            names.append(channel)
            room -= len(channel.encode())
            if room <= 0:
                break
        self.requested = tuple(names)
        self.request_number, self._waited_ticks = number, 0
        return self.requested

    def mark_current(self) -> None:
        """Note that it has sent everything that it was asked for."""
        for channel in self.requested:
            self.stale.pop(channel, None)
        self._cancel_request()

    def _cancel_request(self) -> None:
        """Ignore the answer to the open request, if there is one."""
        self.requested, self.request_number = (), 0
