"""What nodes tell each other of their members and sockets, in notices of a bounded size."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

from itemwire.messages import Member

NOTICE_BYTES: Final = 24 * 1024  # a notice is full then; one line alone is at most about as much
MEMBERS_A_LINE: Final = 40
CHANNELS_A_LINE: Final = 80
CALLERS_A_LINE: Final = 40

SOCKETS: Final = ""
"""In place of a channel: what a node is asked for are the sockets of its callers."""


class MemberJoined(msgspec.Struct, frozen=True, tag="came"):
    """A member of the node that says so is on a channel."""

    channel: str
    member: Member


class MemberLeft(msgspec.Struct, frozen=True, tag="gone"):
    """It is there no longer."""

    channel: str
    connection: str


class MembersPage(msgspec.Struct, frozen=True, tag="part"):
    """All members it has on a channel, of the ids past `after` and up to `last` ("": no end)."""

    channel: str
    after: str
    last: str
    members: list[Member]


class StateRequest(msgspec.Struct, frozen=True, tag="ask"):
    """One node is to say all it has on these channels."""

    to: str
    number: int
    channels: list[str]


class StateSent(msgspec.Struct, frozen=True, tag="answered"):
    """All that was asked for was said."""

    to: str
    number: int


class MemberAway(msgspec.Struct, frozen=True, tag="away"):
    """A member was cut off: whoever its caller comes back to may take it over."""

    channel: str
    member: Member
    issuer: str | None = None


class SocketCount(msgspec.Struct, frozen=True, array_like=True):
    """How many sockets a caller has."""

    issuer: str | None
    subject: str
    sockets: int


class SocketCounts(msgspec.Struct, frozen=True, tag="holds"):
    """How many sockets each of some callers has now on the node that says so."""

    callers: list[SocketCount]


class NodeStopping(msgspec.Struct, frozen=True, tag="farewell"):
    """The node that says so is about to end, and has no socket any longer."""


Line = (
    MemberJoined
    | MemberLeft
    | MembersPage
    | StateRequest
    | StateSent
    | MemberAway
    | SocketCounts
    | NodeStopping
)


class Gossip(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some lines of a node, in order; each of its notices has the next number.

    Without a line it says that the node lives, and by its number what was missed.
    """

    number: int
    lines: list[Line] = []


def packed(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Divide lines, in their order, among notices."""
    pack: list[Line] = []
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


def parts_of(channel: str, members: Iterable[Member]) -> Iterator[MembersPage]:
    """Say all members of a channel, none left out between two parts."""
    ordered = sorted(members, key=lambda member: member.connection)
    after = ""
    while len(ordered) > MEMBERS_A_LINE:
        page, ordered = ordered[:MEMBERS_A_LINE], ordered[MEMBERS_A_LINE:]
        yield MembersPage(channel, after, page[-1].connection, page)
        after = page[-1].connection
    yield MembersPage(channel, after, "", ordered)


def holds_of(held: Iterable[SocketCount]) -> Iterator[SocketCounts]:
    """Say how many sockets callers have, in lines of a bounded size."""
    rest = iter(held)
    while line := list(islice(rest, CALLERS_A_LINE)):
        yield SocketCounts(line)
