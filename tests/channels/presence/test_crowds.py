"""What subscribers are told of a crowd: one number a second in place of each who comes or goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.limits.item_rules import ItemRules, PresenceMode
from itemwire.messages import Member, MemberCount
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action
from tests.channels.presence.test_presence import Watched, told
from tests.fakes import EVERYTHING, ITEM, LIMITS, MSGPACK, PLAIN, Peer, Stage

LIMIT = 2
CHANNEL = "item:1"


def crowd_of(count: int, first: int = 0) -> list[Member]:
    """Name so many members."""
    return [Member(f"m{number}", "x") for number in range(first, first + count)]


def stage_of(limit: int = LIMIT, presence: PresenceMode = "on") -> Stage:
    """Start a node whose items list so many members, or only count them."""
    rules = ItemRules(presence=presence)
    return Stage(limits=replace(LIMITS, presence_limit=limit), rules_of=lambda _item: rules)


def number_of(peer: Peer) -> int:
    """Work out how many are there from what a client was told, as its documents say."""
    number, there = 0, set[str]()
    for event in peer.saw("welcome", "joined", "left", "count"):
        if event["type"] == "welcome":
            there = {one["connection"] for one in event["members"]}
        if "member_count" in event:
            number = event["member_count"]
            continue
        before = len(there)
        change = there.add if event["type"] == "joined" else there.discard
        change(event["member"]["connection"])
        number += len(there) - before
    return number


def counts(peer: Peer) -> list[int]:
    """List the numbers that a client was told after its welcome."""
    return [event["member_count"] for event in peer.saw("count")]


def test_tells_one_number_a_tick_however_many_come_and_go() -> None:
    """And none where nothing has changed since (requirement 160)."""
    watched = Watched(limit=LIMIT)
    watched.joins(*crowd_of(9))
    watched.told.clear()
    watched.presence.tick(1)
    watched.presence.tick(2)
    watched.presence.leave(CHANNEL, crowd_of(9)[8])
    watched.joins(*crowd_of(3, first=20))
    watched.presence.tick(3)
    watched.presence.tick(4)

    assert watched.told == ["count 9 1", "count 11 1"]


def test_tells_who_left_a_crowd_with_its_number() -> None:
    """The list stays right, and the number comes last, so that it is the one to keep."""
    watched = Watched(limit=LIMIT)
    watched.joins(*crowd_of(5))
    watched.told.clear()
    watched.presence.leave(CHANNEL, crowd_of(5)[0])
    at_once = list(watched.told)
    watched.presence.tick(1)

    assert at_once == []
    assert watched.told == ["left m0 1", "joined m2 1", "count 4 1"]
    assert watched.lists() == crowd_of(2, first=1)


def test_a_newcomer_of_a_crowd_is_behind_those_who_wait() -> None:
    """It takes no place that became free in the same second."""
    watched = Watched(limit=LIMIT)
    watched.joins(*crowd_of(3))
    watched.presence.leave(CHANNEL, crowd_of(3)[1])
    watched.joins(Member("m9", "x"))
    watched.presence.tick(1)

    assert watched.lists() == [Member("m0", "x"), Member("m2", "x")]


def test_one_who_left_and_is_back_within_the_second_is_there_in_the_end() -> None:
    """Another node may say that it has the member right after one said that it left."""
    watched = Watched(limit=LIMIT)
    member = crowd_of(1)[0]
    watched.joins(*crowd_of(3))
    watched.presence.remove(CHANNEL, crowd_of(3)[2])
    watched.presence.remove(CHANNEL, member)
    watched.presence.add(CHANNEL, member)
    watched.told.clear()
    watched.presence.tick(1)

    assert watched.told == ["count 2 1"]


def test_who_comes_while_one_is_leaving_is_told_of_nobody_unknown() -> None:
    """Who has left a crowd is in its list until all are told, and with them the newcomer."""
    stage = stage_of()
    first, *_ = (stage.join(name) for name in ("alice", "bob", "carol"))
    first.session.closed(1000)
    newcomer = stage.join("dave")
    there = {member["connection"] for member in newcomer.sees[0]["members"]}
    stage.node.tick()

    (left,) = newcomer.saw("left")
    assert left["member"]["connection"] in there


def test_a_room_below_the_limit_again_is_told_as_before() -> None:
    """A last number, and from then on each who comes or goes, at once (requirement 160)."""
    stage = stage_of()
    first, second, third = (stage.join(name) for name in ("alice", "bob", "carol"))
    stage.node.tick()
    second.session.closed(1000)
    stage.node.tick()
    assert counts(first) == [3, 2]
    third.session.closed(1000)
    gone = first.saw("left")
    stage.join("dave")
    stage.node.tick()

    assert len(gone) == 2
    assert counts(first) == [3, 2]
    assert (number_of(first), len(told(first))) == (2, 2)


def test_a_room_that_fits_is_told_no_number() -> None:
    """Joins and leaves add up to it."""
    stage = stage_of()
    alice, bob = stage.join("alice"), stage.join("bob")
    stage.node.tick()
    bob.session.closed(1000)
    stage.node.tick()

    assert alice.saw("count") == []
    assert stage.node._presence._changed == {}


@pytest.mark.parametrize("presence", ["counts", "off"])
def test_where_members_are_only_counted_the_number_is_told(presence: PresenceMode) -> None:
    """With `counts` it is all that is told; with `off` there is none."""
    stage = stage_of(limit=1000, presence=presence)
    alice = stage.join("alice")
    bob = stage.join("bob")
    stage.node.tick()
    bob.session.closed(1000)
    stage.node.tick()
    stage.node.tick()

    assert counts(alice) == ([2, 1] if presence == "counts" else [])
    assert alice.saw("joined", "left") == []


def test_only_who_may_see_members_is_told_their_number() -> None:
    """And from a refresh on who may then."""
    stage = stage_of(limit=0)
    alice = stage.join("alice")
    bob = stage.join("bob", can=frozenset({Action.SUBSCRIBE}))
    stage.node.tick()
    before = counts(bob)
    subscription = bob.session.subscription
    principal = bob.connection.principal
    stage.node.change_rights(subscription, Grant(principal, ITEM, EVERYTHING))
    stage.join("carol")
    stage.node.tick()

    assert (counts(alice), before, counts(bob)) == ([2, 3], [], [3])


def test_a_number_is_told_in_every_form_that_has_envelopes() -> None:
    """JSON and MessagePack get one event; a plain socket has no word for it."""
    stage = stage_of(limit=0)
    alice = stage.join("alice")
    packed, plain = stage.join("bob", codec=MSGPACK), stage.join("carol", codec=PLAIN)
    stage.node.tick()

    assert alice.saw("count") == [{"type": "count", "item": ITEM, "member_count": 3}]
    assert packed.transport.frames[-1] == MSGPACK.encode(MemberCount(ITEM, 3))
    assert plain.transport.frames == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "tick"]), st.integers(0, 5)), max_size=40
)


@given(STEPS, st.sampled_from([0, 1, 2, 5]), st.sampled_from(["on", "counts"]))
def test_every_tick_leaves_all_with_the_same_number(
    steps: list[tuple[str, int]], limit: int, presence: PresenceMode
) -> None:
    """Whoever came when, and whatever the room has grown or shrunk to (requirement 160)."""
    stage = stage_of(limit, presence)
    live = [stage.join("watching")]
    for kind, number in steps:
        if kind == "join":
            live.append(stage.join(f"user-{number}"))
        elif kind == "leave" and len(live) > 1:
            live.pop(1 + number % (len(live) - 1)).session.closed(1000)
        else:
            stage.node.tick()
            assert {number_of(peer) for peer in live} == {len(live)}
    stage.node.tick()

    assert {number_of(peer) for peer in live} == {len(live)}
    listed = {one.connection for one in stage.known_members(ITEM).members}
    assert all(told(peer).keys() == listed for peer in live)
