"""Notices that a bus loses or brings again: what was missed is made good, and nothing twice."""

from __future__ import annotations

from collections import Counter

import pytest

from itemwire.channels.cluster.gossip import (
    EVERY_ITEM,
    SOCKETS,
    ClusterMember,
    Gossip,
    Line,
    MemberAway,
    MemberJoined,
    MemberLeft,
    MembersAsked,
    MembersRange,
    StateRequest,
)
from itemwire.channels.cluster.gossip_sender import URGENT_SECONDS
from itemwire.channels.cluster.notices import Notice, read_notice, read_told
from itemwire.channels.cluster.peer import DEAD_TICKS, HEARTBEAT_TICKS
from tests.channels.nodes import WITH_GRACE, Crowd, say_as, told
from tests.fakes import CHANNEL


def say(crowd: Crowd, number: int, *lines: Line) -> None:
    """Let what another node says with this number reach every node."""
    say_as(crowd, "other", number, lines)


def requests(crowd: Crowd, before: int) -> list[StateRequest]:
    """List what nodes asked each other for, after so many notices."""
    notices = [read_notice(data).gossip for data in crowd.bus.sent[before:]]
    lines = [line for gossip in notices if gossip for line in gossip.lines]
    return [line for line in lines if isinstance(line, StateRequest)]


def questions(crowd: Crowd, before: int) -> dict[str, int]:
    """Count how often was asked on each channel, after so much that was told."""
    told = [(channel, read_told(data).lines) for channel, data in crowd.bus.told[before:]]
    asked = [channel for channel, lines in told for one in lines if isinstance(one, MembersAsked)]
    return dict(Counter(asked))


@pytest.mark.parametrize("is_repeated", [True, False])
def test_a_repeated_notice_is_no_sign_of_life(*, is_repeated: bool) -> None:
    """Whoever replays the last notice of a dead node does not keep its members; a new one does."""
    crowd = Crowd("a")
    watcher = crowd.join("a")
    say(crowd, 1, MemberJoined(CHANNEL, ClusterMember("x1", "bob")))
    for number in range(DEAD_TICKS + 1):
        crowd.tick()
        say(crowd, 1 if is_repeated else number + 2)

    assert told(watcher) == (["a1"] if is_repeated else ["a1", "x1"])


def test_a_repeated_notice_makes_nobody_away_again() -> None:
    """A member that was taken over is its caller's: the next one does not get it too."""
    crowd = Crowd("a", limits=WITH_GRACE)
    watcher = crowd.join("a")
    away = MemberAway(CHANNEL, ClusterMember("x1", "bob"), None)
    say(crowd, 1, MemberJoined(CHANNEL, ClusterMember("x1", "bob")))
    say(crowd, 2, away)
    back = crowd.join("a", subject="bob")
    say(crowd, 2, away)
    another = crowd.join("a", subject="bob")

    assert back.session.subscription.member.connection == "x1"
    assert another.session.subscription.member.connection != "x1"
    assert sorted(told(watcher)) == sorted(crowd.listed("a"))


@pytest.mark.parametrize("repeated", [1, 2])
def test_a_repeated_or_late_notice_brings_no_member_back(repeated: int) -> None:
    """In the numbers of its node it was read; the next number is read."""
    crowd = Crowd("a")
    watcher = crowd.join("a")
    joined = MemberJoined(CHANNEL, ClusterMember("x1", "bob"))
    say(crowd, 1, joined)
    say(crowd, 2, MemberLeft(CHANNEL, "x1"))
    counters = crowd.stages["a"].node.counters
    dropped = counters.notices_dropped
    say(crowd, repeated, joined)
    for _ in range(2):
        crowd.bus.post(Notice("other", gossip=Gossip(repeated, [])).encoded())
    crowd.settle()
    before = told(watcher)
    say(crowd, 3, joined)

    assert counters.notices_dropped == dropped  # a bus that repeats itself is no fault
    assert before == ["a1"]
    assert told(watcher) == ["a1", "x1"]


def test_a_member_whose_leaving_was_missed_is_removed() -> None:
    """The gap in the numbers shows it; who is still there stays (requirement 115)."""
    crowd = Crowd("a", "b")
    watcher, gone, _ = crowd.join("a"), crowd.join("b"), crowd.join("b")
    crowd.settle()
    crowd.bus.lose = lambda: True
    crowd.end(gone)
    crowd.settle()
    crowd.bus.lose = lambda: False
    missed = told(watcher)
    crowd.tick(DEAD_TICKS)

    assert missed == ["a1", "b1", "b2"]
    assert told(watcher) == crowd.listed("a") == ["a1", "b2"]


@pytest.mark.parametrize(
    ("after", "last", "there", "left"),
    [
        pytest.param("", "", [], ["x1", "x2", "x3", "x4"], id="all"),
        pytest.param("", "", ["x2"], ["x1", "x3", "x4"], id="all-but-who-is-there"),
        pytest.param("x1", "", [], ["x2", "x3", "x4"], id="from-a-place-on"),
        pytest.param("x1", "x3", [], ["x2", "x3"], id="after-one-and-up-to-another"),
        pytest.param("x1", "x3", ["x3"], ["x2"], id="the-last-is-there"),
        pytest.param("", "x1", [], ["x1"], id="the-first"),
        pytest.param("x4", "", [], [], id="past-the-end"),
    ],
)
def test_a_range_of_members_replaces_those_within_it_and_no_others(
    after: str, last: str, there: list[str], left: list[str]
) -> None:
    """The first id is outside of it and the last one inside, so that ranges adjoin."""
    crowd = Crowd("a")
    watcher = crowd.join("a")
    members = {name: ClusterMember(name, "bob") for name in ("x1", "x2", "x3", "x4")}
    say(crowd, 1, *(MemberJoined(CHANNEL, member) for member in members.values()))
    say(crowd, 2, MembersRange(CHANNEL, after, last, [members[name] for name in there]))

    assert [one["member"]["connection"] for one in watcher.saw("left")] == left
    assert told(watcher) == crowd.listed("a")


def test_each_channel_is_asked_on_once() -> None:
    """Nothing was missed, so its answer is good, whatever is asked meanwhile."""
    crowd = Crowd("a", "b")
    crowd.join("a")
    crowd.join("a", "7")
    crowd.settle()
    before = len(crowd.bus.told)
    crowd.join("b")
    crowd.stages["b"].do_what_waits()  # the question has left
    crowd.join("b", "7")
    crowd.settle()

    assert questions(crowd, before) == {CHANNEL: 1, "item:7": 1}
    assert crowd.listed("b") == ["a1", "b1"]
    assert crowd.listed("b", "7") == ["a2", "b2"]


def test_that_a_member_is_away_is_said_sooner_than_all_else() -> None:
    """Its caller may be back on another node in a moment."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    crowd.join("b")
    alice = crowd.join("a", subject="alice")
    crowd.settle()
    crowd.cut(alice)
    crowd.stages["a"].pass_time(URGENT_SECONDS)
    crowd.bus.carry()
    back = crowd.join("b", subject="alice")

    assert back.session.subscription.member.connection == "a1"


@pytest.mark.parametrize(("per_subject", "asked"), [(2, [SOCKETS, EVERY_ITEM]), (0, [EVERY_ITEM])])
def test_after_a_gap_counts_are_asked_for_where_there_is_a_limit(
    per_subject: int, asked: list[str]
) -> None:
    """And how far the node has come on every channel, lest something was missed there too."""
    crowd = Crowd("a", per_subject=per_subject)
    crowd.join("a")
    crowd.settle()
    say(crowd, 1)
    crowd.settle()
    before = len(crowd.bus.sent)
    say(crowd, 3)
    crowd.settle()

    assert [(one.to, one.channels) for one in requests(crowd, before)] == [("other", asked)]


@pytest.mark.parametrize(("knows_it", "repeated"), [(True, 0), (False, 2)])
def test_a_node_that_knows_that_it_was_deaf_has_nobody_repeat_all(
    *, knows_it: bool, repeated: int
) -> None:
    """It asks on its channels itself; if all were to answer that, it would cost nodes squared."""
    crowd = Crowd("a", "b", "c")
    watcher, gone, _ = crowd.join("a"), crowd.join("b"), crowd.join("c")
    crowd.settle()
    crowd.engine("a").is_deaf = True
    crowd.end(gone)
    crowd.tick(HEARTBEAT_TICKS)
    crowd.engine("a").is_deaf = False
    missed, before = told(watcher), len(crowd.bus.sent)
    if knows_it:
        crowd.engine("a").hear_again()
    crowd.tick(2 * HEARTBEAT_TICKS)

    assert missed == ["a1", "b1", "c1"]
    assert told(watcher) == ["a1", "c1"]
    asked = [one.channels for one in requests(crowd, before)]
    assert asked.count([EVERY_ITEM]) == repeated


def test_a_channel_that_is_followed_no_longer_is_not_asked_for() -> None:
    """Nobody here would be told of its members; one that stays is asked for."""
    crowd = Crowd("a", "b")
    crowd.join("a")
    crowd.join("a", "7")
    crowd.settle()
    before = len(crowd.bus.told)
    gone = crowd.join("b")
    crowd.join("b", "7")
    crowd.end(gone)
    crowd.settle()

    assert questions(crowd, before) == {"item:7": 1}
    assert crowd.listed("b", "7") == ["a2", "b2"]


@pytest.mark.parametrize("has_left", [True, False])
def test_a_member_that_has_left_for_good_is_nobodys_to_take_over(*, has_left: bool) -> None:
    """Its caller comes back as somebody new; before that it comes back as the same member."""
    crowd = Crowd("a", limits=WITH_GRACE)
    crowd.join("a")
    say(crowd, 1, MemberJoined(CHANNEL, ClusterMember("x1", "bob")))
    say(crowd, 2, MemberAway(CHANNEL, ClusterMember("x1", "bob"), None))
    if has_left:
        say(crowd, 3, MemberLeft(CHANNEL, "x1"))
    back = crowd.join("a", subject="bob")

    assert (back.session.subscription.member.connection == "x1") is not has_left
