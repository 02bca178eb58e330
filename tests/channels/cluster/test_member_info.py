"""The info of members on several nodes: told as it changes, never by somebody else."""

from __future__ import annotations

import msgspec

from itemwire.channels.cluster.gossip import (
    NOTICE_BYTES,
    ClusterMember,
    Gossip,
    MemberJoined,
    MembersRange,
    member_ranges,
)
from itemwire.channels.cluster.notices import Notice
from itemwire_auth.member_info import INFO_BYTES, written_info
from itemwire_auth.principal import Grant
from tests.channels.cluster.test_hostile_gossip import dropped, say
from tests.channels.nodes import WITH_GRACE, Crowd, told
from tests.fakes import CHANNEL, EVERYTHING, ITEM, Peer

BIG = msgspec.Raw(b'{"name":"Big"}')


def infos(crowd: Crowd, name: str) -> dict[str, object]:
    """List the info of each member as a node has it."""
    members = crowd.stages[name].known_members(ITEM, 1000).members
    return {
        one.connection: None if one.info is msgspec.UNSET else msgspec.json.decode(one.info)
        for one in members
    }


def change(crowd: Crowd, name: str, peer: Peer, info: object) -> None:
    """Let a refresh give a peer another info."""
    written = written_info({"name": info})
    grant = Grant(peer.connection.principal, ITEM, EVERYTHING, written)
    crowd.stages[name].node.change_rights(peer.session.subscription, grant)


def test_a_change_reaches_every_node() -> None:
    """And a node that starts later, or that has missed it."""
    crowd = Crowd("a", "b")
    alice, bob = crowd.join("a"), crowd.join("b")
    crowd.settle()
    change(crowd, "a", alice, "Al")
    crowd.settle()
    crowd.bus.lose = lambda: True
    change(crowd, "a", alice, "Alice")
    crowd.settle()
    crowd.bus.lose = lambda: False
    crowd.start("c")
    crowd.join("c")
    crowd.tick(20)

    assert [one["member"]["info"] for one in bob.saw("updated")] == [
        {"name": "Al"},
        {"name": "Alice"},
    ]
    names = {"a1": {"name": "Alice"}, "b1": None, "c1": None}
    assert infos(crowd, "a") == infos(crowd, "b") == infos(crowd, "c") == names


def test_a_member_that_returns_to_another_node_brings_its_own() -> None:
    """All nodes show what its newest rule says."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    alice, bob = crowd.join("a", subject="alice"), crowd.join("b")
    crowd.settle()
    change(crowd, "a", alice, "Al")
    crowd.settle()
    crowd.cut(alice)
    crowd.settle()
    again = crowd.join("b", subject="alice")
    crowd.settle()

    assert again.session.subscription.member.connection == "a1"
    assert told(bob) == ["a1", "b1"]
    assert [one["member"].get("info") for one in bob.saw("updated")] == [{"name": "Al"}, None]
    crowd.join("a")
    crowd.settle()
    assert infos(crowd, "a") == infos(crowd, "b")


def test_no_other_node_changes_the_info_of_a_member_here() -> None:
    """A notice may be forged: what a node knows of its own members it knows best."""
    crowd = Crowd("a", "b")
    alice = crowd.join("a")
    crowd.join("b")
    crowd.settle()
    say(
        crowd,
        MemberJoined(CHANNEL, ClusterMember("a1", "a-0", BIG)),
        MembersRange(CHANNEL, "", "", [ClusterMember("a1", "a-0", BIG)]),
    )

    assert infos(crowd, "a")["a1"] is None
    assert alice.saw("updated") == []


def test_an_info_past_its_bounds_is_refused_with_its_notice() -> None:
    """Also inside of a range; and what is kept of a good one is no piece of the notice."""
    crowd = Crowd("a")
    crowd.join("a")
    joined = MemberJoined(CHANNEL, ClusterMember("x1", "x", BIG))
    good = Notice("forged", gossip=Gossip(1, [joined]))
    long = b'{"a":"' + b"a" * INFO_BYTES + b'"}'
    for info in (long, b"[1]", b'"a"', b'{"a":"\xff"}', b'{"a":' + b"[" * 65 + b"]" * 65 + b"}"):
        crowd.bus.post(good.encoded().replace(bytes(BIG), info))
        crowd.bus.carry()
    assert dropped(crowd) == 5
    assert list(infos(crowd, "a")) == ["a1"]

    say(crowd, joined, number=5)
    assert infos(crowd, "a") == {"a1": None, "x1": {"name": "Big"}}


def test_a_line_stays_small_with_the_largest_infos() -> None:
    """A range holds fewer members then, and none of them twice."""
    info = msgspec.Raw(written_info({"a": "a" * (INFO_BYTES - 8)}))
    members = [ClusterMember(f"{number:012}", "s" * 64, info) for number in range(100)]
    lines = list(member_ranges(CHANNEL, members))

    assert [member for line in lines for member in line.members] == members
    assert all(len(msgspec.json.encode(line)) <= NOTICE_BYTES for line in lines)
    assert [line.after for line in lines] == ["", *(line.last for line in lines[:-1])]
