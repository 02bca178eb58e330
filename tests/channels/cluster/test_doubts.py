"""When a channel is asked on again: at its time, and then with growing waits."""

from __future__ import annotations

from itertools import pairwise

from itemwire.channels.cluster.doubts import MAX_WAIT_TICKS, Doubts


def test_comes_at_its_tick_and_then_after_longer_and_longer_waits() -> None:
    """A node that never answers is asked seldom."""
    doubts = Doubts(3)
    doubts.add("x", 5)
    due = []
    for tick in range(200):
        for channel, is_sure in doubts.pop_due(tick):
            due.append(tick)
            assert not is_sure
            doubts.go_on(channel, tick)

    assert due[:5] == [5, 8, 14, 26, 50]
    assert {later - sooner for sooner, later in pairwise(due[6:])} == {MAX_WAIT_TICKS}


def test_the_soonest_of_two_counts_and_what_is_sure_stays_so() -> None:
    """Each is asked for once."""
    doubts = Doubts(3)
    doubts.add("x", 9)
    doubts.add("x", 4, is_sure=True)
    doubts.add("x", 7)

    assert [doubts.pop_due(tick) for tick in (3, 4, 9)] == [[], [("x", True)], []]


def test_nothing_is_kept_of_what_is_forgotten() -> None:
    """The next doubt begins with the first wait."""
    doubts = Doubts(3)
    doubts.add("x", 1)
    doubts.pop_due(1)
    doubts.go_on("x", 1)
    doubts.forget("x")

    assert (doubts._due, doubts._waits) == ({}, {})
    assert doubts.pop_due(100) == []
