"""What is known of another node: current, stale or requested, and when it expires."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.gossip import CHANNELS_A_LINE, ClusterMember
from itemwire.channels.cluster.peer import ANSWER_TICKS, DEAD_TICKS, Peer

ALICE = ClusterMember("c1", "alice")


def requested(*channels: str) -> Peer:
    """Make a peer that was asked for these channels, by request 1."""
    peer = Peer(0)
    peer.mark_stale(channels, is_missed=False)
    assert peer.request(1) == channels
    return peer


def test_what_was_answered_is_current() -> None:
    """And only that: what became stale meanwhile is asked for next."""
    peer = requested("a", "b")
    peer.mark_stale(["c"], is_missed=False)

    peer.mark_current()

    assert (list(peer.stale), peer.requested) == (["c"], ())


def test_an_answer_that_was_begun_before_a_miss_does_not_count() -> None:
    """It may lack what was missed; so its number is no longer waited for."""
    peer = requested("a")
    peer.mark_stale(["a"], is_missed=True)

    assert (list(peer.stale), peer.requested, peer.request_number) == (["a"], (), 0)


def test_a_request_without_an_answer_is_made_again() -> None:
    """It may have been lost, or its answer was."""
    peer = requested("a")
    waiting = []
    for _ in range(ANSWER_TICKS):
        waiting.append(peer.requested)
        peer.tick()

    assert waiting == [("a",)] * ANSWER_TICKS
    assert peer.requested == ()
    assert peer.request(2) == ("a",)


def test_few_channels_are_asked_for_at_a_time() -> None:
    """An answer stays small; the others follow."""
    peer = Peer(0)
    channels = [f"item:{number}" for number in range(2 * CHANNELS_A_LINE)]
    peer.mark_stale(channels, is_missed=False)
    first = peer.request(1)
    peer.mark_current()

    assert [*first, *peer.request(2)] == channels
    assert len(first) == CHANNELS_A_LINE


def test_a_channel_that_is_forgotten_is_asked_for_no_longer() -> None:
    """Its answer would come with those of the others: they are asked for again."""
    peer = requested("a", "b")
    peer.forget("a")

    assert (list(peer.stale), peer.requested) == (["b"], ())


@pytest.mark.parametrize(("ticks", "is_gone"), [(DEAD_TICKS - 1, False), (DEAD_TICKS, True)])
def test_a_silent_node_is_given_up(ticks: int, is_gone: bool) -> None:
    """Not before three signs of life are missing."""
    peer = Peer(0)

    assert [peer.tick() for _ in range(ticks)][-1] is is_gone


def test_a_stopping_node_is_asked_for_nothing_and_kept_for_its_time() -> None:
    """Nobody is left there to answer; heard again, it is a node like any other."""
    peer = requested("a")
    peer.mark_stopping(2)
    peer.mark_stale(["a"], is_missed=True)
    assert (peer.stale, peer.requested) == ({}, ())
    assert [peer.tick(), peer.tick()] == [False, True]

    peer.mark_running()
    peer.silent_ticks = 0
    peer.mark_stale(["a"], is_missed=True)

    assert list(peer.stale) == ["a"]
    assert not peer.tick()


def test_keeps_nothing_of_members_that_left() -> None:
    """Not even an empty entry of their channel (requirement 99)."""
    peer = Peer(0)
    assert peer.add_member("a", ALICE)
    assert peer.add_member("a", ALICE)

    assert peer.remove_member("a", "c2") is None
    assert peer.remove_member("a", "c1") == ALICE
    assert peer.remove_member("a", "c1") is None
    assert (peer.members, peer._member_count) == ({}, 0)
