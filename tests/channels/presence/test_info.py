"""What members tell each other of themselves: a bounded JSON object that may change."""

import pytest
from msgspec import UNSET, Raw

from itemwire.channels.presence.info import read_info
from itemwire.channels.presence.presence import Presence, PresenceEvent
from itemwire.messages import Member, MemberCount
from itemwire_auth.member_info import INFO_BYTES
from itemwire_auth.principal import Grant
from tests.fakes import EVERYTHING, ITEM, Peer, Stage

CHANNEL = "item:1"
ALICE = (None, "alice")
BOB = (None, "bob")
BIG = Raw(b'{"name":"Big"}')
SMALL = Raw(b'{"name":"Small"}')


class Watched:
    """Presence, and a log of what it announces."""

    def __init__(self, limit: int = 10, grace: float = 0) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.presence = Presence(self._announce, limit, grace)

    def _announce(self, _channel: str, event: PresenceEvent) -> None:
        if isinstance(event, MemberCount):
            return
        info = event.member.info
        self.told.append((type(event).__name__, b"" if info is UNSET else bytes(info)))


def test_tells_a_change_once() -> None:
    """The same info again is no news."""
    watched = Watched()
    watched.presence.join(CHANNEL, ALICE, Member("c1", "alice", BIG))
    for info in (BIG, SMALL, SMALL):
        watched.presence.change(CHANNEL, ALICE, Member("c1", "alice", info))

    assert watched.told == [("Joined", bytes(BIG)), ("Updated", bytes(SMALL))]
    assert watched.presence.page(CHANNEL, 1).members == [Member("c1", "alice", SMALL)]


def test_an_unlisted_member_is_told_with_its_newest_info() -> None:
    """Nobody knows of it before there is room for it."""
    watched = Watched(limit=1)
    watched.presence.join(CHANNEL, ALICE, Member("c1", "alice"))
    watched.presence.join(CHANNEL, BOB, Member("c2", "bob", BIG))
    watched.presence.change(CHANNEL, BOB, Member("c2", "bob", SMALL))
    watched.presence.leave(CHANNEL, Member("c1", "alice"))
    watched.presence.tick(1)

    assert watched.told == [("Joined", b""), ("Left", b""), ("Joined", bytes(SMALL))]


@pytest.mark.parametrize(("info", "told"), [(BIG, []), (SMALL, [("Updated", bytes(SMALL))])])
def test_a_member_that_returns_tells_what_is_new(info: Raw, told: list[tuple[str, bytes]]) -> None:
    """It continues as the member that was away, by the rule that let it in now."""
    watched = Watched(grace=5)
    member = Member("c1", "alice", BIG)
    watched.presence.join(CHANNEL, ALICE, member)
    watched.presence.mark_away(CHANNEL, ALICE, member, 1)
    joined = watched.presence.join(CHANNEL, ALICE, Member("c2", "alice", info))

    assert joined == Member("c1", "alice", info)
    assert watched.told[1:] == told


def test_a_stranger_is_no_member() -> None:
    """A change of a client that is not on the channel is told to nobody."""
    watched = Watched()
    watched.presence.change(CHANNEL, ALICE, Member("c1", "alice", BIG))

    assert watched.told == []


def refreshed(stage: Stage, peer: Peer, info: bytes | None) -> None:
    """Let a refresh work out another info."""
    principal = peer.connection.principal
    stage.node.change_rights(peer.session.subscription, Grant(principal, ITEM, EVERYTHING, info))
    stage.settle()


def test_a_refresh_may_change_it(stage: Stage) -> None:
    """Those that may see the members are told, the member itself included."""
    alice, bob = stage.join("alice"), stage.join("bob")
    refreshed(stage, alice, bytes(BIG))
    refreshed(stage, alice, None)

    member = {"connection": "c1", "subject": "alice"}
    told = [
        {"type": "updated", "item": ITEM, "member": {**member, "info": {"name": "Big"}}},
        {"type": "updated", "item": ITEM, "member": member},
    ]
    assert bob.saw("updated") == alice.saw("updated") == told


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b'"a"',
        b'{"a":"' + b"a" * INFO_BYTES + b'"}',
        b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"a":1e999}',
        b'{"a":"\xff"}',
    ],
    ids=["list", "text", "long", "deep", "infinite", "no UTF-8"],
)
def test_refuses_what_clients_could_not_read(text: bytes) -> None:
    """Whoever wrote it."""
    with pytest.raises(ValueError, match=r"info|data|utf-8"):
        read_info(text)


@pytest.mark.parametrize("text", [b"{}", b'{"a":"' + b"a" * (INFO_BYTES - 8) + b'"}'])
def test_takes_any_other_object(text: bytes) -> None:
    """Up to the bound."""
    assert read_info(text) == Raw(text)
