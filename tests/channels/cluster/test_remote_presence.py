"""Members of several nodes, over a bus that loses, delays, reorders and repeats notices."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

import pytest

from itemwire.channels.cluster.gossip import NOTICE_BYTES
from itemwire.channels.cluster.notices import read_notice
from itemwire.channels.cluster.peer import DEAD_TICKS
from tests.channels.nodes import WITH_GRACE, Bus, Crowd, SharedEngine, told
from tests.fakes import LIMITS, Stage

QUIET_TICKS: Final = 2 * DEAD_TICKS


def test_who_comes_and_goes_on_one_node_is_told_on_the_other() -> None:
    """`joined` and `left` reach every watcher, on whichever node."""
    crowd = Crowd("a", "b")
    alice, bob = crowd.join("a"), crowd.join("b")
    crowd.settle()
    assert told(alice) == told(bob) == ["a1", "b1"]

    crowd.end(bob)
    crowd.settle()

    assert [one["member"]["connection"] for one in alice.saw("left")] == ["b1"]
    assert crowd.listed("a") == ["a1"]


def test_a_channel_that_is_first_heard_here_is_asked_for() -> None:
    """Its members came before anybody here was interested; now they are told as `joined`."""
    crowd = Crowd("a", "b")
    for _ in range(300):
        crowd.join("a")
    crowd.settle()

    bob = crowd.join("b")
    crowd.settle()

    assert told(bob) == crowd.there() == crowd.listed("b")
    assert max(len(notice) for notice in crowd.bus.sent) < 2 * NOTICE_BYTES


def test_members_of_a_channel_that_nobody_hears_here_are_not_kept() -> None:
    """Memory goes with what is heard on the node, not with all there is."""
    crowd = Crowd("a", "b")
    crowd.join("a")
    bob = crowd.join("b", "7")
    crowd.settle()
    assert crowd.listed("b") == []

    other = crowd.join("b")
    crowd.settle()
    assert crowd.listed("b") == ["a1", "b2"]
    crowd.end(other)
    crowd.settle()

    assert crowd.listed("b") == []
    assert told(bob) == ["b1"]


@pytest.mark.parametrize("ticks", [DEAD_TICKS - 1, DEAD_TICKS + 1])
def test_the_members_of_a_node_that_is_silent_leave(ticks: int) -> None:
    """Requirement 115: not before three signs of life are missing, and soon after that."""
    crowd = Crowd("a", "b")
    alice = crowd.join("a")
    crowd.join("b")
    crowd.settle()

    crowd.kill("b")
    crowd.tick(ticks)

    assert (told(alice) == ["a1"]) == (ticks > DEAD_TICKS)


def test_a_node_that_was_paused_comes_back_without_duplicates() -> None:
    """Requirement 115: it is the same node, with the members it had."""
    crowd = Crowd("a", "b")
    alice = crowd.join("a")
    crowd.join("b")
    crowd.settle()
    paused = crowd.stages.pop("b")
    crowd.tick(DEAD_TICKS + 1)
    assert told(alice) == ["a1"]

    crowd.stages["b"] = paused
    crowd.tick(QUIET_TICKS)

    assert told(alice) == crowd.listed("b") == ["a1", "b1"]


def test_clocks_that_differ_change_nothing() -> None:
    """Requirement 116: seconds without a sign are counted by who waits, by nobody's clock."""
    crowd = Crowd("a", "b")
    crowd.stages["b"].clock.now += 500
    alice = crowd.join("a")
    crowd.join("b")

    crowd.tick(QUIET_TICKS)

    assert told(alice) == crowd.listed("b") == ["a1", "b1"]
    assert not alice.saw("left")


def test_a_node_alone_on_its_engine_says_nothing() -> None:
    """With memory and SQLite there is no other node, and nothing to pay for."""
    bus = Bus()
    stage = Stage(SharedEngine(bus))

    stage.join()
    stage.node.tick()

    assert bus.sent == []
    assert not stage.waits


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_all_agree_in_the_end(seed: int) -> None:
    """After joins, ends, lost and mixed words, breaks, deaths and restarts, once it is quiet."""
    chance = random.Random(seed)  # noqa: S311 - it decides what happens, and keeps no secret
    crowd = Crowd("a", "b", "c", limits=WITH_GRACE)
    loss = chance.choice([0.0, 0.1, 0.5, 1.0])
    crowd.bus.lose = lambda: chance.random() < loss
    absent: list[tuple[str, str]] = []
    was_deaf = False
    for number in range(80):
        happen(crowd, chance, number, absent)
        was_deaf |= any(crowd.engine(name).is_deaf for name in crowd.stages)
    crowd.heal()

    crowd.tick(QUIET_TICKS)

    for name, peers in crowd.peers.items():
        for item in {peer.session.subscription.item_id for peer in peers}:
            assert crowd.listed(name, item) == sorted(set(crowd.there(item)))
            if not loss and not was_deaf:
                assert len(crowd.listed(name, item)) == len(crowd.there(item))
        for peer in peers:
            assert told(peer) == crowd.listed(name, peer.session.subscription.item_id)


def happen(crowd: Crowd, chance: random.Random, number: int, absent: list[tuple[str, str]]) -> None:
    """Let one thing happen on one of the nodes."""
    name = chance.choice(sorted(crowd.stages))
    what = chance.choice(
        ["join", "join", "end", "cut", "back", "step", "mix", "tick", "kill", "stop", "break"]
    )
    if what == "join":
        crowd.join(name, chance.choice(["42", "7"]))
    elif what == "back" and absent:
        crowd.join(name, *absent.pop(0))
    elif what in {"end", "cut"} and crowd.peers[name]:
        peer = chance.choice(crowd.peers[name])
        subscription = peer.session.subscription
        crowd.cut(peer, 1000 if what == "end" else 1006)
        if what == "cut":
            absent.append((subscription.item_id, subscription.member.subject))
    else:
        _trouble(crowd, chance, name, what, number)


def _trouble(crowd: Crowd, chance: random.Random, name: str, what: str, number: int) -> None:
    """Let time pass, or something go wrong on the way."""
    if what == "step":
        crowd.step()
    elif what == "mix":
        crowd.bus.waiting += crowd.bus.waiting[:3]  # an engine may say it twice
        chance.shuffle(crowd.bus.waiting)
    elif what == "tick":
        crowd.stages[name].node.tick()
    elif what == "break":
        engine = crowd.engine(name)
        if engine.is_deaf:
            engine.hear_again()
        engine.is_deaf = chance.random() < 0.5
    elif what in {"kill", "stop"} and chance.random() < 0.3:
        (crowd.kill if what == "kill" else crowd.stop)(name)
        crowd.start(f"n{number}-")


def test_every_notice_of_members_is_within_its_size() -> None:
    """However long the names are: a line that is nearly a notice goes alone."""
    crowd = Crowd("a", "b")
    for _ in range(200):
        crowd.join("a", "i" * 100)
    crowd.join("b", "i" * 100)
    crowd.settle()

    assert all(read_notice(notice).gossip is not None for notice in crowd.bus.sent)
    assert max(len(notice) for notice in crowd.bus.sent) <= 32 * 1024


def test_who_is_cut_off_on_one_node_comes_back_on_another_unnoticed() -> None:
    """A load balancer sends it anywhere: nobody sees it leave or join (requirement 115)."""
    crowd = Crowd("a", "b", "c", limits=WITH_GRACE)
    watcher, alice = crowd.join("c"), crowd.join("a", subject="alice")
    crowd.settle()
    crowd.cut(alice)
    crowd.settle()

    back = crowd.join("b", subject="alice")
    crowd.tick(QUIET_TICKS)

    assert back.saw("welcome")[0]["connection"] == "a1"
    assert [one["member"]["connection"] for one in watcher.saw("joined", "left")] == ["a1"]
    assert crowd.listed("b") == crowd.listed("c") == ["a1", "c1"]
    assert crowd.stages["a"].node._presence._listed == {}

    crowd.end(back)
    crowd.settle()
    assert told(watcher) == crowd.listed("c") == ["c1"]


@pytest.mark.parametrize("subject", ["alice", "bob"])
def test_another_caller_takes_nobodys_place(subject: str) -> None:
    """And of whom nobody comes back, everybody is told once the grace time is over."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    watcher, alice = crowd.join("b"), crowd.join("a", subject="alice")
    crowd.settle()
    crowd.cut(alice)
    crowd.settle()

    other = crowd.join("b", item="42" if subject == "bob" else "7", subject=subject)
    crowd.tick(QUIET_TICKS)

    assert other.saw("welcome")[0]["connection"] == "b2"
    assert [one["member"]["connection"] for one in watcher.saw("left")] == ["a1"]


def test_two_that_come_back_to_two_nodes_at_once_are_two_members() -> None:
    """Both go on as the one that was cut off first, until the nodes hear of each other."""
    crowd = Crowd("a", "b", "c", "d", limits=WITH_GRACE)
    watcher = crowd.join("d")
    gone = [crowd.join("a", subject="alice") for _ in range(2)]
    crowd.settle()
    for peer in gone:
        crowd.cut(peer)
    crowd.settle()

    back = [crowd.join(name, subject="alice") for name in ("b", "c")]
    assert [one.saw("welcome")[0]["connection"] for one in back] == ["a1", "a1"]
    crowd.tick(QUIET_TICKS)

    assert crowd.listed("b") == crowd.listed("c") == crowd.there() == ["a1", "a2", "d1"]
    assert told(watcher) == crowd.there()
    assert not watcher.saw("left")


@pytest.mark.parametrize("grace", [0.0, 3.0])
def test_the_members_of_a_node_that_ends_leave_when_their_grace_time_is_over(grace: float) -> None:
    """It takes leave itself: nobody waits for it to be silent for long enough."""
    crowd = Crowd("a", "b", limits=replace(LIMITS, presence_grace=grace))
    alice = crowd.join("a")
    crowd.join("b")
    crowd.settle()

    crowd.stop("b")
    crowd.settle()
    at_once = told(alice)
    crowd.tick(3)
    in_time = told(alice)
    crowd.tick(1)

    assert at_once == in_time == (["a1", "b1"] if grace else ["a1"])
    assert told(alice) == crowd.listed("a") == ["a1"]


def test_nobody_is_told_of_a_node_that_is_replaced() -> None:
    """Its clients come back to another one, which nobody there had joined before."""
    crowd = Crowd("a", "b", "c", limits=WITH_GRACE)
    watcher = crowd.join("a")
    for subject in ("alice", "bob"):
        crowd.join("b", subject=subject)
    crowd.settle()
    told_before = watcher.saw("joined", "left")

    crowd.stop("b")
    crowd.settle()
    for subject in ("bob", "alice"):
        crowd.join("c", subject=subject)
    crowd.tick(QUIET_TICKS)

    assert watcher.saw("joined", "left") == told_before
    assert told(watcher) == crowd.listed("c") == crowd.there() == ["a1", "b1", "b2"]
