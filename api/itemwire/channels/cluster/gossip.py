"""The lines in which nodes tell each other their members and connection counts.

What concerns all nodes is in notices. What concerns one item is told on its channel, which only
those nodes hear that have to do with it.

What is read here came over a bus that others may write to, so the types carry bounds: a notice
with a line outside of them is refused whole.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, structs

from itemwire.channels.presence.info import read_info
from itemwire.messages import Member
from itemwire_auth.principal import Identity

NOTICE_BYTES: Final = 24 * 1024  # a notice is full at this size; a single line is smaller than it
MEMBERS_A_LINE: Final = 40  # without `info`
INFO_BYTES_A_PLACE: Final = 512  # of `info` takes the place of a member in a line
NAMES_BYTES_A_LINE: Final = 16 * 1024  # of the channels in a request: hundreds, or a few long names
CALLERS_A_LINE: Final = 40

MAX_SOCKETS: Final = 1_048_576  # of one caller on one node: more descriptors than a process has
MAX_NUMBER: Final = 2**53

MAX_NODE_ID: Final = 128  # characters
TAG_LENGTH: Final = 6  # 36 bits of chance: enough to tell the nodes of one channel apart

SOCKETS: Final = ""
"""In a `StateRequest`: asks for the connection counts."""

EVERY_ITEM: Final = "*"
"""In a `StateRequest`: asks to tell on each channel how far what was told there has come."""


Counted = Annotated[int, Meta(ge=0, le=MAX_SOCKETS)]
"""How many members of one node on a channel are told by their number alone."""

L = TypeVar("L")


class ClusterMember(Member, frozen=True, omit_defaults=True):
    """A member as nodes tell each other of it, with the issuer, which clients never see."""

    issuer: str | None = None

    @property
    def identity(self) -> Identity:
        """Return what tells its caller from every other one."""
        return self.issuer, self.subject

    @property
    def shown(self) -> Member:
        """Return the member as clients see it."""
        return Member(self.connection, self.subject, self.info)


class MemberJoined(msgspec.Struct, frozen=True, tag="came"):
    """A member is on a channel of this node now."""

    channel: str
    member: ClusterMember

    def __post_init__(self) -> None:
        """Refuse a member without an id, or with an `info` past its bounds."""
        _check_members((self.member,))


class MemberLeft(msgspec.Struct, frozen=True, tag="gone"):
    """A member is no longer on a channel of this node."""

    channel: str
    connection: str


class MembersRange(msgspec.Struct, frozen=True, tag="part"):
    """All members this node has on a channel with `after` < id <= `last` (`last` "": no end)."""

    channel: str
    after: str
    last: str
    members: list[ClusterMember]

    def __post_init__(self) -> None:
        """Refuse a member without an id, or with an `info` past its bounds."""
        _check_members(self.members)


class StateRequest(msgspec.Struct, frozen=True, tag="ask"):
    """Asks the node `to` for all it has on these channels; without any, for a sign of life."""

    to: str
    number: int
    channels: list[str]


class StateSent(msgspec.Struct, frozen=True, tag="answered"):
    """Everything that the request with this number asked for has been sent; 0: a sign of life."""

    to: str
    number: int


class MemberAway(msgspec.Struct, frozen=True, tag="away"):
    """A member lost its connection; any node that its caller returns to may take it over."""

    channel: str
    member: Member
    issuer: str | None = None

    def __post_init__(self) -> None:
        """Refuse a member without an id, or with an `info` past its bounds."""
        _check_members((self.member,))


class SocketCount(msgspec.Struct, frozen=True, array_like=True):
    """How many sockets a caller has on this node."""

    issuer: str | None
    subject: str
    sockets: Annotated[int, Meta(ge=0, le=MAX_SOCKETS)]


class SocketCounts(msgspec.Struct, frozen=True, tag="holds"):
    """How many sockets each of some callers has now on this node."""

    callers: list[SocketCount]


class MemberBack(msgspec.Struct, frozen=True, tag="back"):
    """A member that was away has its caller again: nobody may take it over any more."""

    channel: str
    connection: str


class MembersSought(msgspec.Struct, frozen=True, tag="seek"):
    """Asks every node to tell on a channel what it has there, if only nothing."""

    channel: str


class MembersCounted(msgspec.Struct, frozen=True, tag="more"):
    """This node has so many members on a channel beside those that it tells by name."""

    channel: str
    counted: Counted


class MembersAsked(msgspec.Struct, frozen=True, omit_defaults=True, tag="who"):
    """Asks all who hear a channel for their members there, except for those that are known.

    Under its tag a node finds up to which number it was heard, so that it tells who has come or
    left since. If nobody has, it need not answer, unless what it told after that number was missed.
    """

    known: dict[str, int]
    missed: dict[str, int] = {}


class MembersTold(msgspec.Struct, frozen=True, omit_defaults=True, tag="all"):
    """All that this node has on a channel was told; the tags are of nodes with more.

    Without tags it has just begun to hear the channel itself, and cannot say. So many members it
    has beside those that it tells by name.
    """

    tags: list[str] | None = None
    counted: Counted = 0


class MembersChanged(msgspec.Struct, frozen=True, omit_defaults=True, tag="since"):
    """Who came to a channel of this node or left it after a number, as it is now.

    Who was heard up to that number, or further, knows all members of this node with it.
    """

    channel: str
    number: int
    members: list[ClusterMember] = []
    gone: list[str] = []
    counted: Counted = 0

    def __post_init__(self) -> None:
        """Refuse a member without an id, or with an `info` past its bounds."""
        _check_members(self.members)


class NodeStopping(msgspec.Struct, frozen=True, tag="farewell"):
    """This node stops: it has no sockets any more, and this is its last line."""


MemberLine = MemberJoined | MemberLeft | MembersRange
ToldLine = MemberLine | MembersChanged | MembersCounted | MembersAsked | MembersTold
"""What is told on a channel."""

NoticeLine = (
    MemberAway | MemberBack | MembersSought | StateRequest | StateSent | SocketCounts | NodeStopping
)
Line = MemberLine | NoticeLine
"""What is in a notice; `MemberLine` is what older nodes write there, and is passed over."""


class Gossip(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some lines of a node, in their order; `number` counts the node's notices up by one.

    A gap between two numbers tells the reader that it missed something. A gossip without lines
    only says that the node is alive.
    """

    number: Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
    lines: list[Line] = []


class ItemWords(msgspec.Struct, frozen=True, array_like=True):
    """What a node tells on a channel: its number, and that of what it told there before.

    Numbers grow. Where the one before is not what was heard last, something was missed. With 0
    the node begins anew: it has no member there but for those that the lines name.
    """

    node: Annotated[str, Meta(min_length=1, max_length=MAX_NODE_ID)]
    number: Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
    previous: Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
    lines: list[ToldLine] = []

    def encoded(self) -> bytes:
        """Return it as the bytes that engines carry."""
        return msgspec.json.encode(self)


def tag_of(node_id: str) -> str:
    """Return what stands for a node on a channel."""
    return node_id[:TAG_LENGTH]


def pack_lines(lines: Iterable[L]) -> Iterator[list[L]]:
    """Divide lines, in their order, among notices of a bounded size."""
    pack: list[L] = []
    size = 0
    for line in lines:
        length = len(msgspec.json.encode(line))
        if pack and size + length > NOTICE_BYTES:
            yield pack
            pack, size = [], 0
        pack.append(line)
        size += length
    if pack:
        yield pack


def member_ranges(channel: str, members: Iterable[ClusterMember]) -> Iterator[MembersRange]:
    """Write all members of a channel as adjoining ranges, so that no id lies between two."""
    after = ""
    page: list[ClusterMember] = []
    room = MEMBERS_A_LINE
    for member in sorted(members, key=lambda member: member.connection):
        places = _places_of(member)
        if places > room:
            yield MembersRange(channel, after, page[-1].connection, page)
            after, page, room = page[-1].connection, [], MEMBERS_A_LINE
        page.append(member)
        room -= places
    yield MembersRange(channel, after, "", page)


def count_lines(counts: Iterable[SocketCount]) -> Iterator[SocketCounts]:
    """Write the counts of callers as lines of a bounded size."""
    rest = iter(counts)
    while line := list(islice(rest, CALLERS_A_LINE)):
        yield SocketCounts(line)


def fits_a_line(members: Iterable[Member]) -> bool:
    """Return whether a line may hold so many members."""
    return sum(map(_places_of, members)) <= MEMBERS_A_LINE


def _places_of(member: Member) -> int:
    """Return how much of a line a member takes: as much as several where it has much `info`."""
    return 1 if member.info is UNSET else 1 + math.ceil(len(member.info) / INFO_BYTES_A_PLACE)


def _check_members(members: Iterable[Member]) -> None:
    """Raise ValueError for an empty id, because no page of members could begin before it.

    Also for an `info` that no rule could have written. What is kept of it is a copy: the text it
    was read from is that of a whole notice.
    """
    for member in members:
        if not member.connection:
            raise ValueError("a member has no connection id")
        if member.info is not UNSET:
            structs.force_setattr(member, "info", read_info(bytes(member.info)))
