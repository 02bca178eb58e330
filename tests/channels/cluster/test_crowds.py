"""Crowds on several nodes: past the limit only numbers travel, and all agree on the sum."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

import pytest

from itemwire.channels.cluster.exchange import SharedExchange
from itemwire.channels.cluster.gossip import (
    MAX_SOCKETS,
    ClusterMember,
    MemberJoined,
    MemberLeft,
    MembersCounted,
    MembersRange,
    MembersTold,
    ToldLine,
    tag_of,
)
from itemwire.channels.cluster.peer import DEAD_TICKS
from itemwire.channels.cluster.peer import Peer as PeerNode
from itemwire.channels.limits.item_rules import ItemRules
from tests.channels.cluster.test_remote_presence import QUIET_TICKS, happen
from tests.channels.nodes import WITH_GRACE, Crowd, lines_on, say_as
from tests.channels.presence.test_crowds import counts, number_of
from tests.fakes import LIMITS, Peer

LIMIT: Final = 2
FEW: Final = replace(LIMITS, presence_limit=LIMIT)
FEW_WITH_GRACE: Final = replace(WITH_GRACE, presence_limit=LIMIT)


def total(crowd: Crowd, name: str, item: str = "42") -> int:
    """Return how many members a node counts."""
    return crowd.stages[name].known_members(item, 0).count


def listed_by(peer: Peer) -> set[str]:
    """Work out who is listed from what a client was told, as its documents say."""
    there: set[str] = set()
    for event in peer.saw("welcome", "joined", "left"):
        if event["type"] == "welcome":
            there = {one["connection"] for one in event["members"]}
        elif event["type"] == "joined":
            there.add(event["member"]["connection"])
        else:
            there.discard(event["member"]["connection"])
    return there


def names_in(lines: list[ToldLine]) -> int:
    """Count the names that were told."""
    moves = sum(isinstance(one, (MemberJoined, MemberLeft)) for one in lines)
    return moves + sum(len(one.members) for one in lines if isinstance(one, MembersRange))


def known_peers(crowd: Crowd, name: str) -> list[PeerNode]:
    """List what a node knows of the others."""
    exchange = crowd.stages[name].node._exchange
    assert isinstance(exchange, SharedExchange)
    return list(exchange._remote_presence._peers.values())


def crowd_of(*names: str, each: int = 5) -> Crowd:
    """Start nodes that list two members, with so many members on each, and let a second go by."""
    crowd = Crowd(*names, limits=FEW)
    for name in names:
        for _ in range(each):
            crowd.join(name)
    crowd.tick(2)
    return crowd


def test_who_joins_a_crowd_costs_other_nodes_one_number_a_second() -> None:
    """However many come and go; and each node has the sum (requirement 160)."""
    crowd = crowd_of("a", "b")
    since = len(crowd.bus.told)
    for peer in [crowd.join("a") for _ in range(50)][:20]:
        crowd.end(peer)
    crowd.settle()
    at_once = lines_on(crowd, since=since)
    crowd.tick()
    lines = lines_on(crowd, since=since)

    assert at_once == []
    assert lines == [MembersCounted("item:42", 5 + 30 - LIMIT)]
    assert total(crowd, "a") == total(crowd, "b") == 40
    crowd.tick()
    assert {number_of(peer) for peers in crowd.peers.values() for peer in peers} == {40}


def test_a_node_keeps_few_names_of_a_crowd_elsewhere() -> None:
    """Those that it may list, of each other node, and a number for the rest."""
    crowd = crowd_of("a", "b", "c", each=40)
    peers = known_peers(crowd, "a")

    assert [len(peer.members["item:42"]) for peer in peers] == [LIMIT, LIMIT]
    assert [peer.counted for peer in peers] == [{"item:42": 38}] * 2
    assert total(crowd, "a") == 120


def test_a_node_that_first_hears_a_crowd_is_told_its_number() -> None:
    """With the answer to its question, and not the names past the limit."""
    crowd = crowd_of("a", each=30)
    crowd.start("b")
    crowd.settle()
    since = len(crowd.bus.told)
    bob = crowd.join("b")
    crowd.wait()

    assert total(crowd, "b") == 31
    assert names_in(lines_on(crowd, since=since)) == LIMIT + 1
    crowd.tick()
    assert counts(bob)[-1] == number_of(bob) == 31


def test_whoever_is_named_no_more_is_replaced() -> None:
    """Else lists elsewhere would run dry while the room is full."""
    crowd = crowd_of("a", "b")
    for peer in crowd.peers["a"][:LIMIT]:
        crowd.end(peer)
    crowd.tick()
    peer_of_b = known_peers(crowd, "b")[0]

    assert sorted(peer_of_b.members["item:42"]) == ["a3", "a4"]
    assert peer_of_b.counted == {"item:42": 1}
    assert total(crowd, "b") == 8


def test_a_node_with_numbers_alone_is_named_as_one_that_has_members() -> None:
    """Who asks from elsewhere waits for it, too."""
    rules = ItemRules(presence="counts")
    crowd = Crowd("a", "b", "c", rules_of=lambda _item: rules)
    for name in ("a", "b"):
        crowd.join(name)
    crowd.tick(2)
    since = len(crowd.bus.told)
    pages = crowd.ask("c")
    crowd.wait()
    answers = [one for one in lines_on(crowd, since=since) if isinstance(one, MembersTold)]
    ids = [crowd.stages[name].node._id for name in ("a", "b")]

    assert [(page.count, page.is_partial) for page in pages] == [(2, False)]
    assert {tag for one in answers for tag in one.tags or ()} == set(map(tag_of, ids))


def test_one_that_another_node_claims_is_named_and_leaves_by_name() -> None:
    """Two nodes have it, as one of them says: who is right is seen by its name alone."""
    crowd = crowd_of("a", "b")
    claimed = crowd.peers["a"][4]
    member = ClusterMember(claimed.session.subscription.member.connection, "a-4")
    say_as(crowd, "~", 1, [MemberJoined("item:42", member)])  # the greatest id: it has to yield
    crowd.tick()
    crowd.end(claimed)
    crowd.tick(DEAD_TICKS + 2)

    assert total(crowd, "a") == total(crowd, "b") == 9
    assert {number_of(peer) for peers in crowd.peers.values() for peer in peers} == {9}


def test_a_crowd_is_not_searched_for_each_who_joins() -> None:
    """Whose node was killed is found by its name, which is work for each of a thousand names."""
    peer = PeerNode(0)
    peer.add_member("item:42", ClusterMember("c1", "alice"))
    alone = peer.may_have_lost("item:42", (None, "alice"))
    peer.count("item:42", 1)

    assert (alone, peer.may_have_lost("item:42", (None, "alice"))) == (True, False)


def test_where_members_are_only_counted_no_name_is_told() -> None:
    """`presence="counts"` needs none, in a room of any size."""
    rules = ItemRules(presence="counts")
    crowd = Crowd("a", "b", rules_of=lambda _item: rules)
    alice, bob, carol = crowd.join("a"), crowd.join("b"), crowd.join("b")
    crowd.tick(2)
    crowd.end(carol)
    crowd.tick(2)

    assert names_in(lines_on(crowd)) == 0
    assert [number_of(alice), number_of(bob)] == [2, 2]
    assert crowd.ask("a")[0].members == []


def test_a_crowd_that_shrinks_is_known_by_name_again() -> None:
    """Whoever is left on a node is named in place of those that went."""
    crowd = crowd_of("a", "b", each=4)
    watcher = crowd.peers["b"][3]
    for peer in crowd.peers["b"][:3] + crowd.peers["a"][:3]:
        crowd.end(peer)
    crowd.tick(3)

    assert crowd.listed("a") == crowd.listed("b") == crowd.there()
    assert total(crowd, "a") == total(crowd, "b") == 2
    assert number_of(watcher) == 2
    assert listed_by(watcher) == set(crowd.there())
    since = len(crowd.bus.told)
    crowd.end(crowd.peers["a"][0])
    crowd.settle()
    assert names_in(lines_on(crowd, since=since)) == 1  # told at once, as before


@pytest.mark.parametrize("way", ["kill", "stop", "leave"])
def test_a_node_that_goes_takes_its_number_along(way: str) -> None:
    """Killed, when it is given up; stopped or left by all, in a second or two."""
    crowd = crowd_of("a", "b")
    watcher = crowd.peers["a"][0]
    if way == "leave":
        for peer in list(crowd.peers["b"]):
            crowd.end(peer)
        crowd.tick(2)
    else:
        (crowd.kill if way == "kill" else crowd.stop)("b")
        crowd.tick(DEAD_TICKS + 2 if way == "kill" else 2)

    assert total(crowd, "a") == number_of(watcher) == 5
    assert listed_by(watcher) == set(crowd.listed("a"))


def test_a_node_that_stops_leaves_names_for_the_grace_time_and_no_number() -> None:
    """Nobody waits for those who were only counted."""
    crowd = Crowd("a", "b", limits=FEW_WITH_GRACE)
    watcher = crowd.join("a")
    for _ in range(5):
        crowd.join("b")
    crowd.tick(2)
    crowd.stop("b")
    crowd.tick()
    at_once = total(crowd, "a")
    crowd.tick(QUIET_TICKS)

    assert (at_once, total(crowd, "a"), number_of(watcher)) == (1 + LIMIT, 1, 1)


def test_a_number_that_was_missed_is_asked_for() -> None:
    """The next words show the hole, or a reminder does if there are none."""
    crowd = crowd_of("a", "b")
    crowd.bus.lose = lambda: True
    for _ in range(10):
        crowd.join("a")
    crowd.tick()
    crowd.bus.lose = lambda: False
    missed = total(crowd, "b")
    crowd.tick(QUIET_TICKS)

    assert (missed, total(crowd, "b")) == (10, 20)


def test_a_node_that_was_deaf_learns_the_number_when_it_hears_again() -> None:
    """A broken connection misses numbers as it misses names."""
    crowd = crowd_of("a", "b")
    crowd.engine("b").is_deaf = True
    for peer in crowd.peers["a"][2:]:
        crowd.end(peer)
    crowd.tick(2)
    crowd.engine("b").hear_again()
    crowd.tick(2)

    assert total(crowd, "b") == total(crowd, "a") == 7


def test_a_node_that_hears_the_item_no_longer_forgets_the_number() -> None:
    """Nothing of a channel is left where nobody has to do with it."""
    crowd = crowd_of("a", "b")
    for peer in list(crowd.peers["b"]):
        crowd.end(peer)
    crowd.tick(2)
    presence = crowd.stages["b"].node._presence

    assert total(crowd, "b") == 0
    assert (presence._listed, presence._unlisted, presence._elsewhere) == ({}, {}, {})
    assert presence._changed == {}
    assert total(crowd, "a") == 5


def test_who_is_cut_off_in_a_crowd_is_continued_on_another_node() -> None:
    """A listed member is named to all, also where the other node has named enough."""
    crowd = Crowd("a", "b", limits=FEW_WITH_GRACE)
    watcher, alice = crowd.join("a"), crowd.join("a", subject="alice")
    for name in ("a", "b", "b", "b"):
        crowd.join(name)
    crowd.tick(2)
    crowd.cut(alice)
    crowd.settle()
    back = crowd.join("b", subject="alice")
    crowd.tick(QUIET_TICKS)

    assert back.saw("welcome")[0]["connection"] == "a2"
    assert not watcher.saw("left")
    assert total(crowd, "a") == total(crowd, "b") == number_of(watcher) == 6
    assert "a2" in crowd.listed("a")


def test_numbers_of_a_stranger_are_bounded_and_forgotten() -> None:
    """Whoever can write to the bus can say any number, and is silent after that."""
    crowd = crowd_of("a", each=1)
    say_as(crowd, "x", 1, [MembersCounted("item:42", MAX_SOCKETS)])
    said = total(crowd, "a")
    say_as(crowd, "x", 2, [MembersCounted("item:42", MAX_SOCKETS + 1)])
    say_as(crowd, "x", 3, [MembersCounted("item:42", -1)])
    after = total(crowd, "a")
    crowd.tick(DEAD_TICKS + 2)

    assert (said, after, total(crowd, "a")) == (MAX_SOCKETS + 1, MAX_SOCKETS + 1, 1)


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_all_agree_on_the_number(seed: int, limit: int) -> None:
    """After joins, ends, lost and mixed words, breaks, deaths and restarts (requirement 160)."""
    chance = random.Random(seed)  # noqa: S311 - it decides what happens, and keeps no secret
    crowd = Crowd("a", "b", "c", limits=replace(WITH_GRACE, presence_limit=limit))
    loss = chance.choice([0.0, 0.1, 0.5, 1.0])
    crowd.bus.lose = lambda: chance.random() < loss
    absent: list[tuple[str, str]] = []
    for number in range(120):
        happen(crowd, chance, number, absent)
    crowd.heal()
    crowd.tick(QUIET_TICKS)

    for name, peers in crowd.peers.items():
        for peer in peers:
            item = peer.session.subscription.item_id
            there = set(crowd.there(item))
            assert total(crowd, name, item) == number_of(peer) == len(there)
            assert listed_by(peer) == set(crowd.listed(name, item)) <= there
            assert len(crowd.listed(name, item)) == min(limit, len(there))
