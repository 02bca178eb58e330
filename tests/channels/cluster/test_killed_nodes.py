"""Callers that were on a node which is killed: who is back elsewhere was never away."""

from __future__ import annotations

from itertools import product

import pytest

from itemwire.channels.cluster.gossip import Gossip, MembersAsked
from itemwire.channels.cluster.life_checks import WAIT_SECONDS
from itemwire.channels.cluster.notices import Notice
from itemwire.channels.cluster.peer import DEAD_TICKS, SILENT_TICKS
from itemwire.channels.cluster.reminders import WAITS
from tests.channels.cluster.test_hostile_gossip import remote_presence_of
from tests.channels.nodes import WITH_GRACE, Crowd, lines_on, told
from tests.fakes import LIMITS, Peer

QUIET_TICKS = 2 * DEAD_TICKS


def events(peer: Peer) -> list[tuple[str, str]]:
    """List who a peer was told to have joined and left."""
    return [(one["type"], one["member"]["connection"]) for one in peer.saw("joined", "left")]


def wait(crowd: Crowd, seconds: float = WAIT_SECONDS) -> None:
    """Let nodes wait for a sign of life."""
    crowd.settle()
    for stage in crowd.stages.values():
        stage.pass_time(seconds)
    crowd.settle()


def killed(*watchers: str) -> tuple[Crowd, list[Peer]]:
    """Kill the node that bob is on, before anybody can have noticed."""
    crowd = Crowd("a", "b", "c", limits=WITH_GRACE)
    peers = [crowd.join(name) for name in watchers]
    crowd.join("b", subject="bob")
    crowd.settle()
    crowd.kill("b")
    return crowd, peers


@pytest.mark.parametrize("silent", [0, 1, SILENT_TICKS])
def test_who_is_back_elsewhere_is_listed_once_and_nobody_is_told(silent: int) -> None:
    """Requirement 115: not even if it is back before the node can be missed."""
    crowd, (alice, carol) = killed("a", "c")
    crowd.tick(silent)

    back = crowd.join("a", subject="bob")
    wait(crowd)
    crowd.tick(QUIET_TICKS)

    assert back.saw("welcome")[0]["connection"] == "b1"
    assert [one for one in events(alice) + events(carol) if one[1] == "b1"] == [
        ("joined", "b1"),
        ("joined", "b1"),
    ]
    assert crowd.listed("a") == crowd.listed("c") == told(alice) == told(carol)
    assert "b1" in crowd.listed("a")

    crowd.end(back)
    crowd.settle()
    assert events(alice)[-1] == events(carol)[-1] == ("left", "b1")


def test_who_does_not_come_back_leaves_with_its_node() -> None:
    """And another caller, or the same on another item, continues as nobody."""
    crowd, (alice,) = killed("a")

    others = [crowd.join("a", subject="carol"), crowd.join("a", "7", subject="bob")]
    wait(crowd)
    crowd.tick(QUIET_TICKS)

    assert [one.saw("welcome")[0]["connection"] for one in others] == ["a2", "a3"]
    assert events(alice)[-1] == ("left", "b1")


def test_a_second_connection_of_a_caller_is_a_second_member() -> None:
    """The node of the first one answers that it lives, which takes no more than two batches."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    alice = crowd.join("a")
    crowd.join("b", subject="bob")
    crowd.settle()

    second = crowd.join("a", subject="bob")
    crowd.settle()

    assert second.saw("welcome")[0]["connection"] == "a2"
    assert events(alice)[-2:] == [("joined", "b1"), ("joined", "a2")]


def test_many_that_are_back_share_one_question() -> None:
    """And once the node is suspected, nobody waits for it any more."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    crowd.join("a")
    for number in range(20):
        crowd.join("b", subject=f"s{number}")
    crowd.settle()
    crowd.kill("b")
    before = len(crowd.bus.sent)

    first = [crowd.join("a", subject=f"s{number}") for number in range(10)]
    wait(crowd)
    asked = len(crowd.bus.sent) - before
    later = [crowd.join("a", subject=f"s{number}") for number in range(10, 20)]

    assert [one.saw("welcome")[0]["connection"] for one in first + later] == [
        f"b{number}" for number in range(1, 21)
    ]
    assert asked == 2  # the question, and who is back


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_node_that_only_stood_still_has_its_member_again(names: tuple[str, str]) -> None:
    """Both connections are members in the end, whichever of the nodes has the greater id."""
    here, there = names
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    alice = crowd.join(here)
    bob = crowd.join(there, subject="bob")
    crowd.settle()
    paused = crowd.stages.pop(there)
    second = crowd.join(here, subject="bob")
    wait(crowd)
    assert second.saw("welcome")[0]["connection"] == f"{there}1"

    crowd.stages[there] = paused
    crowd.tick(QUIET_TICKS)

    assert told(alice) == crowd.listed(here) == crowd.listed(there) == crowd.there()
    assert bob.session.subscription.member.connection == f"{there}1"
    assert len(crowd.there()) == 3


@pytest.mark.parametrize("silent", [0, SILENT_TICKS])
def test_without_a_grace_time_nobody_is_waited_for(silent: int) -> None:
    """A caller that is cut off has left, and who comes then is new."""
    crowd = Crowd("a", "b", limits=LIMITS)
    crowd.join("a")
    crowd.join("b", subject="bob")
    crowd.settle()
    crowd.kill("b")
    crowd.tick(silent)

    back = crowd.join("a", subject="bob")

    assert back.saw("welcome")[0]["connection"] == "a2"


def test_a_client_that_leaves_while_the_node_is_asked_is_no_member() -> None:
    """Its join ends, and the one that was there leaves with its node."""
    crowd, (alice,) = killed("a")
    back = crowd.join("a", subject="bob")
    crowd.end(back)
    wait(crowd)
    crowd.tick(QUIET_TICKS)

    assert back.saw("welcome") == []
    assert events(alice)[-1] == ("left", "b1")
    assert not remote_presence_of(crowd, "a")._peers.may_have_lost("item:42", (None, "bob"))


def test_a_node_may_be_given_up_while_it_is_asked() -> None:
    """Its time to answer ends all the same, and whoever waits for it goes on."""
    crowd, (alice,) = killed("a")
    back = crowd.join("a", subject="bob")
    crowd.tick(QUIET_TICKS)
    wait(crowd)

    assert len(back.saw("welcome")) == 1
    assert told(alice) == crowd.listed("a")


def test_of_a_node_that_only_stood_still_no_more_is_asked_than_what_it_lost() -> None:
    """On an item where nobody was taken over nothing is in doubt."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    for name, item in product("ab", ("42", "7")):
        crowd.join(name, item, subject="bob" if (name, item) == ("b", "42") else None)
    crowd.tick(sum(WAITS) + 1)
    paused = crowd.stages.pop("b")
    crowd.join("a", subject="bob")
    wait(crowd)
    before = len(crowd.bus.told)
    crowd.stages["b"] = paused
    crowd.tick()

    asked = {
        item: [isinstance(line, MembersAsked) for line in lines_on(crowd, item, before)]
        for item in ("42", "7")
    }
    assert (any(asked["42"]), any(asked["7"])) == (True, False)


def test_a_node_that_lives_after_all_is_asked_what_it_still_has() -> None:
    """Its sign of life is enough: it may have nothing to say on the item for long."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    crowd.join("a")
    crowd.join("b", subject="bob")
    crowd.tick(sum(WAITS) + 1)
    del crowd.stages["b"]  # it stands still
    crowd.join("a", subject="bob")
    wait(crowd)
    before = len(crowd.bus.told)
    ((node_id, peer),) = remote_presence_of(crowd, "a")._peers.items()
    crowd.bus.post(Notice(node_id, gossip=Gossip(peer.last_number + 1)).encoded())
    crowd.settle()

    assert [type(line) for line in lines_on(crowd, since=before)] == [MembersAsked]
