"""Notices that a bus brings again: one that was read is not read a second time."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.gossip import Gossip, Line, MemberAway, MemberJoined, MemberLeft
from itemwire.channels.cluster.notices import Notice
from itemwire.channels.cluster.peer import DEAD_TICKS
from itemwire.messages import Member
from tests.channels.nodes import WITH_GRACE, Crowd, told
from tests.fakes import CHANNEL


def say(crowd: Crowd, number: int, *lines: Line) -> None:
    """Let the notice with this number of another node reach every node."""
    crowd.bus.post(Notice("other", gossip=Gossip(number, list(lines))).encoded())
    crowd.bus.carry()


@pytest.mark.parametrize("is_repeated", [True, False])
def test_a_repeated_notice_is_no_sign_of_life(*, is_repeated: bool) -> None:
    """Whoever replays the last notice of a dead node does not keep its members; a new one does."""
    crowd = Crowd("a")
    watcher = crowd.join("a")
    say(crowd, 1, MemberJoined(CHANNEL, Member("x1", "bob")))
    for number in range(DEAD_TICKS + 1):
        crowd.tick()
        say(crowd, 1 if is_repeated else number + 2)

    assert told(watcher) == (["a1"] if is_repeated else ["a1", "x1"])


def test_a_repeated_notice_makes_nobody_away_again() -> None:
    """A member that was taken over is its caller's: the next one does not get it too."""
    crowd = Crowd("a", limits=WITH_GRACE)
    watcher = crowd.join("a")
    away = MemberAway(CHANNEL, Member("x1", "bob"), None)
    say(crowd, 1, MemberJoined(CHANNEL, Member("x1", "bob")))
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
    joined = MemberJoined(CHANNEL, Member("x1", "bob"))
    say(crowd, 1, joined)
    say(crowd, 2, MemberLeft(CHANNEL, "x1"))
    say(crowd, repeated, joined)
    before = told(watcher)
    say(crowd, 3, joined)

    assert before == ["a1"]
    assert told(watcher) == ["a1", "x1"]
