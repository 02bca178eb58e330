"""How many sockets a subject may have over all nodes, even if notices are lost or late."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

import pytest

from itemwire.channels.cluster import connection_counts as module
from itemwire.channels.cluster.connection_counts import ConnectionCounts
from itemwire.channels.cluster.gossip import NOTICE_BYTES, SocketCount, SocketCounts
from itemwire.channels.cluster.notices import read_notice
from itemwire.channels.cluster.peer import DEAD_TICKS
from itemwire.channels.limits.connections import ConnectionLimits, ConnectionSlots
from tests.channels.nodes import Crowd

QUIET_TICKS: Final = 2 * DEAD_TICKS
CONNECTION_LIMIT: Final = (1008, "connection_limit")


def limited(*names: str, per_subject: int = 2) -> Crowd:
    """Start nodes where a subject may have so many sockets."""
    return Crowd(*names, per_subject=per_subject)


def test_sockets_of_all_nodes_count() -> None:
    """At the limit every node refuses; a slot released on one node is free on the other."""
    crowd = limited("a", "b")
    first = crowd.enter("a")
    crowd.settle()
    assert crowd.enter("b") is not None
    crowd.settle()
    assert crowd.enter("a") is crowd.enter("b") is None
    assert crowd.enter("b", "bob") is not None

    assert first is not None
    crowd.end(first)
    crowd.settle()

    assert crowd.enter("b") is not None
    assert crowd.slots("b").refused["subject"] == 1


def test_a_place_that_is_waited_for_is_told_of_at_once() -> None:
    """A page that is loaded again goes to another node within less than a batch takes."""
    crowd = limited("a", "b", per_subject=1)
    page = crowd.enter("a")
    crowd.settle()
    assert page is not None

    crowd.end(page)
    crowd.stages["a"].pass_time(0.011)
    crowd.bus.carry()

    assert crowd.enter("b") is not None


@pytest.mark.parametrize("each", [1, 2, 3])
def test_a_burst_on_several_nodes_ends_at_the_limit(each: int) -> None:
    """None knows of the others then; afterwards all agree on who stays (requirement 96)."""
    crowd = limited("a", "b", "c", per_subject=3)
    for name in ("a", "b", "c"):
        for _ in range(each):
            assert crowd.enter(name) is not None
        assert (crowd.enter(name) is None) == (each == 3)
    burst = [peer for peers in crowd.peers.values() for peer in peers]

    crowd.tick(2)

    assert len(list(crowd.inside())) == 3
    sent_away = [peer for peer in burst if not peer.connection.is_open]
    assert [peer.transport.closes for peer in sent_away] == [[CONNECTION_LIMIT]] * (len(burst) - 3)


def test_the_latest_sockets_of_a_node_are_those_that_go() -> None:
    """Connections from before the burst stay, on the node that has to yield."""
    crowd = limited("a", "b", per_subject=3)
    last = max(crowd.stages, key=lambda name: crowd.stages[name].node._id)
    first = min(crowd.stages, key=lambda name: crowd.stages[name].node._id)
    old = [crowd.enter(last), crowd.enter(last)]
    crowd.settle()
    new = crowd.enter(last)
    assert crowd.enter(first) is not None

    crowd.tick(2)

    assert [peer is not None and peer.connection.is_open for peer in [*old, new]] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_sockets_of_a_node_that_is_gone_do_not_count(way: str) -> None:
    """With its members, where it was killed; at once, where it took leave."""
    crowd = limited("a", "b")
    crowd.enter("a")
    crowd.enter("a")
    crowd.settle()
    assert crowd.enter("b") is None

    if way == "stopped":
        crowd.stop("a")
        crowd.settle()
    else:
        crowd.kill("a")
        crowd.tick(DEAD_TICKS - 1)
        assert crowd.enter("b") is None
        crowd.tick(1)

    assert crowd.enter("b") is not None


@pytest.mark.parametrize("at_once", [10_000, 100], ids=["at_once", "in_parts"])
def test_a_node_that_starts_is_told_what_there_is(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Of more callers than one notice holds, each within its size; in parts, if they are many."""
    monkeypatch.setattr(module, "CALLERS_A_BATCH", at_once)
    crowd = limited("a")
    for number in range(300):
        crowd.enter("a", f"{number}-{'s' * 240}")

    crowd.start("b")
    crowd.settle()

    assert crowd.slots("b").on_other_nodes == crowd.slots("a").by_subject
    assert max(map(len, crowd.bus.sent)) < 2 * NOTICE_BYTES


def test_nobody_is_sent_away_while_the_engine_is_away() -> None:
    """Each node counts what it knows; what is too much by then goes once it is back."""
    crowd = limited("a", "b")
    crowd.bus.lose = lambda: True
    for stage in crowd.stages.values():
        stage.engine.is_away = True  # type: ignore[attr-defined]
    for name in ("a", "b"):
        assert [crowd.enter(name), crowd.enter(name)].count(None) == 0
    crowd.tick(QUIET_TICKS)
    assert len(list(crowd.inside())) == 4

    crowd.bus.lose = lambda: False
    for stage in crowd.stages.values():
        stage.engine.is_away = False  # type: ignore[attr-defined]
    crowd.tick(QUIET_TICKS)

    assert len(list(crowd.inside())) == 2


def test_without_a_limit_nothing_is_counted_or_told() -> None:
    """Nobody pays for what nobody asked for."""
    crowd = limited("a", "b", per_subject=0)
    for _ in range(3):
        crowd.enter("a")
    crowd.tick(2)

    told = [notice.gossip for notice in map(read_notice, crowd.bus.sent) if notice.gossip]
    assert not any(isinstance(line, SocketCounts) for gossip in told for line in gossip.lines)
    assert not crowd.slots("b").on_other_nodes


def test_of_who_is_gone_nothing_is_kept() -> None:
    """Neither here nor on the other nodes (requirement 99)."""
    slots = ConnectionSlots(ConnectionLimits(per_subject=1))
    known = ConnectionCounts("a", slots)
    known.receive(
        "b", SocketCounts([SocketCount(None, "alice", 2), SocketCount("issuer", "alice", 1)])
    )
    known.receive("b", SocketCounts([SocketCount(None, "alice", 0)]))
    assert slots.on_other_nodes == {("issuer", "alice"): 1}

    known.remove_node("b")

    assert (slots.on_other_nodes, known._by_node, known._snapshots) == ({}, {}, {})


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_all_count_the_same_in_the_end(seed: int) -> None:
    """After lost and mixed notices, deaths and starts: each what the others have, none too many."""
    chance = random.Random(seed)  # noqa: S311 - it decides what happens, and keeps no secret
    crowd = limited("a", "b", "c", per_subject=3)
    loss = chance.choice([0.0, 0.1, 0.5, 1.0])
    crowd.bus.lose = lambda: chance.random() < loss
    for number in range(100):
        _happen(crowd, chance, number)
    crowd.bus.lose = lambda: False

    for _ in range(QUIET_TICKS):
        crowd.tick()
        inside = [peer.connection.principal.subject for peer in crowd.inside()]
    crowd.settle()

    for name in crowd.stages:
        others = [crowd.slots(one).by_subject for one in crowd.stages if one != name]
        assert crowd.slots(name).on_other_nodes == sum(others, Counter())
    assert all(inside.count(subject) <= 3 for subject in inside)


def _happen(crowd: Crowd, chance: random.Random, number: int) -> None:
    """Let one thing happen on one of the nodes."""
    name = chance.choice(sorted(crowd.stages))
    what = chance.choice(["enter", "enter", "end", "step", "mix", "tick", "kill"])
    if what == "enter":
        crowd.enter(name, chance.choice(["alice", "bob"]))
    elif what == "end" and crowd.peers[name]:
        crowd.end(chance.choice(crowd.peers[name]))
    elif what == "step":
        crowd.step()
    elif what == "mix":
        chance.shuffle(crowd.bus.waiting)
    elif what == "tick":
        crowd.stages[name].node.tick()
    elif what == "kill" and chance.random() < 0.3:
        crowd.kill(name)
        crowd.start(f"n{number}-")
