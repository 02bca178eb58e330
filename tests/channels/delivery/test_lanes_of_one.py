"""A lane as one subscriber, or one that is on another, finds it."""

from __future__ import annotations

from itemwire.channels.delivery.lanes import MAX_PENDING_BYTES
from tests.channels.delivery.test_lanes import Listener, lane_of


def test_who_is_not_on_a_lane_catches_up_with_nothing() -> None:
    """What is pending is for others."""
    listening, other = Listener(), Listener()
    lane = lane_of(listening)
    lane.send(b"1")
    lane.catch_up(other)
    lane.flush()

    assert (listening.writes, other.writes) == ([b"1"], [])


def test_what_one_took_leaves_all_room_for_what_follows() -> None:
    """Up to its bound nothing is written before the flush."""
    alone = Listener()
    lane = lane_of(alone)
    lane.send(b"1")
    taken = list(lane.take(alone))
    lane.send(bytes(MAX_PENDING_BYTES - 1))

    assert taken == [b"1"]
    assert alone.writes == []
