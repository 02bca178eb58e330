"""Delivery in slices of time: a large audience delays nobody, and each sees the same order."""

from __future__ import annotations

import pytest

from itemwire.channels.delivery import lanes as lanes_module
from itemwire.channels.delivery.lanes import MAX_PENDING_BYTES
from itemwire.channels.delivery.time_slice import SECONDS, STRIDE, TimeSlice
from itemwire.close_reasons import TOKEN_REVOKED
from itemwire.wire.base import Codec
from itemwire_auth.scopes import Action
from tests.channels.delivery.slices import GONE, ShortSlices, short
from tests.channels.delivery.test_lanes import Listener, lane_of
from tests.fakes import EVERYTHING, JSON, PLAIN, Peer, Stage


def turn(stage: Stage) -> None:
    """Let one turn of the event loop pass: what it asks for comes in the next one."""
    soon, stage.timers._soon = stage.timers._soon, []
    for callback in soon:
        callback()


def heard(peer: Peer) -> list[object]:
    """List what reached a peer up to now, and let nothing pass for it."""
    return [str(frame) for frame in peer.transport._frames]


def test_is_over_once_its_time_is_up_and_looks_at_the_clock_seldom() -> None:
    """A small audience costs no look."""
    now, looks = [100.0], []

    def clock() -> float:
        looks.append(now[0])
        return now[0]

    one = TimeSlice(0.005, 4, clock)
    for _ in range(3):
        one.spend(1)
    looks_for_three = len(looks)
    one.spend(1)
    before = one.is_over
    now[0] += 0.006
    one.spend(4)

    assert looks_for_three == 1  # at its beginning
    assert not before
    assert one.is_over
    one.restart()
    assert not one.is_over
    assert (SECONDS, STRIDE) == (0.005, 256)


def test_is_over_at_its_last_moment() -> None:
    """And not a moment before."""
    now = [100.0]
    one = TimeSlice(1.0, 1, lambda: now[0])
    over = []
    for moment in (100.5, 101.0):
        now[0] = moment
        one.spend(1)
        over.append(one.is_over)

    assert over == [False, True]


def test_who_is_behind_and_who_had_something_for_it_alone_share_a_slice() -> None:
    """Each costs more than one that keeps up: as many as are past a stride wait for their turn."""
    slow, slower, asking = listeners = [Listener() for _ in range(3)]
    slow.chosen, slower.chosen = [], []
    lane = lane_of(*listeners)
    lane.send(b"1")
    lane.catch_up(asking)
    lane.send(b"2")
    moments = iter([0.0, 0.0, *[GONE] * 9])
    lane.flush(TimeSlice(1.0, 2, lambda: next(moments)))
    is_cut = lane.is_pending
    lane.flush()

    assert is_cut
    assert asking.writes == [b"1", b"2"]
    assert [[chunk for chunk, _ in one.chosen or ()] for one in (slow, slower)] == [
        [b"1", b"2"]
    ] * 2


def test_joins_a_message_once_however_many_slices_it_takes() -> None:
    """All get the same bytes, and what is sent meanwhile is joined for all of them."""
    listeners = [Listener() for _ in range(6)]
    lane = lane_of(*listeners)
    lane.send(b"1")
    slices = 0
    while lane.is_pending:
        lane.flush(short(2))
        slices += 1
        if slices < 3:
            lane.send(b"%d" % (slices + 1))
    lane.flush()

    assert [listener.writes for listener in listeners] == [[b"1", b"23"]] * 6
    for number in range(2):
        assert len({id(listener.writes[number]) for listener in listeners}) == 1


def test_writes_a_large_message_in_slices_and_holds_back_no_more_than_one() -> None:
    """Else a flood of large ones would wait without bound: it waits for its own delivery."""
    listeners = [Listener() for _ in range(4)]
    lane = lane_of(*listeners)
    with ShortSlices():
        lane.send(bytes(MAX_PENDING_BYTES))
        after_one = [len(listener.writes) for listener in listeners]
        lane.send(bytes(MAX_PENDING_BYTES))
        after_two = [len(listener.writes) for listener in listeners]
    lane.flush()

    assert after_one == [1, 0, 0, 0]
    assert after_two == [2, 1, 1, 1]
    assert [len(listener.writes) for listener in listeners] == [2] * 4


@pytest.fixture
def crowd(stage: Stage) -> list[Peer]:
    """Let six subscribers listen to one item, none of whom sees who comes and goes."""
    can = EVERYTHING - {Action.PRESENCE}
    peers = [stage.join(f"s{number}", can=can) for number in range(6)]
    stage.settle()
    return peers


@pytest.fixture
def sliced(stage: Stage) -> Stage:
    """Give a node whose hub writes to one subscriber in a turn."""
    stage.node._hub._time_slice = short()
    return stage


def publish(peer: Peer, text: str) -> None:
    """Publish without looking at what comes of it."""
    peer.session.received(f'{{"type":"publish","data":"{text}"}}')


def count(peers: list[Peer], text: str) -> int:
    """Count those that a text has reached."""
    return sum(any(text in str(frame) for frame in heard(peer)) for peer in peers)


def test_others_have_their_turn_before_a_large_audience_goes_on(
    sliced: Stage, crowd: list[Peer]
) -> None:
    """A neighbour waits for one slice and not for the whole audience (requirement 128)."""
    loud, neighbour = sliced.join("loud", item="quiet"), crowd[0]
    sliced.node.publish(neighbour.connection.principal, "42", "to all", None, lambda _: None)
    turn(sliced)
    reached_first = count(crowd, "to all")
    publish(loud, "to one")
    turn(sliced)

    assert reached_first == 1
    assert count([loud], "to one") == 1
    assert count(crowd, "to all") < len(crowd)
    sliced.settle()
    assert count(crowd, "to all") == len(crowd)


def test_who_is_ended_between_two_slices_gets_nothing_more(
    sliced: Stage, crowd: list[Peer]
) -> None:
    """Not what was published before, either, as a revocation wants it (requirement 128)."""
    sliced.node.publish(crowd[0].connection.principal, "42", "to all", None, lambda _: None)
    turn(sliced)
    waiting = [peer for peer in crowd if not count([peer], "to all")]
    ended, left = waiting[1], waiting[2]
    sliced.node._hub.end_all({ended.connection: TOKEN_REVOKED})
    left.session.closed(1000)
    sliced.settle()

    assert len(waiting) == 5
    assert count([ended, left], "to all") == 0
    assert ended.transport.reasons == ["token_revoked"]
    assert count(crowd, "to all") == 4


@pytest.mark.parametrize("codec", [JSON, PLAIN], ids=["json", "plain"])
def test_a_newcomer_between_two_slices_hears_each_message_once(
    sliced: Stage, crowd: list[Peer], codec: Codec
) -> None:
    """What is still on its way to others was published before it came."""
    by = crowd[0].connection.principal
    sliced.node.publish(by, "42", "before", None, lambda _: None)
    turn(sliced)
    late = sliced.join("late", codec=codec)
    sliced.node.publish(by, "42", "after", None, lambda _: None)
    sliced.settle()

    assert count([late], "before") == 0
    assert count([late], "after") == 1
    assert count(crowd, "before") == count(crowd, "after") == 6


def test_an_answer_comes_after_what_was_published_before_it(
    sliced: Stage, crowd: list[Peer]
) -> None:
    """A slice may not let the answer to a client overtake the message that it is about."""
    publish(crowd[-1], "first")
    turn(sliced)
    publish(crowd[-1], "second")
    sliced.settle()

    kinds = [one["type"] for one in crowd[-1].saw("message", "reply")]
    assert kinds == ["message", "reply", "message", "reply"]
    assert [[one["data"] for one in peer.saw("message")] for peer in crowd] == [
        ["first", "second"]
    ] * 6


def test_a_fault_in_one_slice_leaves_the_rest_of_the_audience_to_the_next(
    sliced: Stage, crowd: list[Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without slices: a lane that raises is flushed again, and no lane is forgotten."""
    lane = crowd[0].session.subscription.lane
    assert lane is not None
    sliced.node.publish(crowd[0].connection.principal, "42", "to all", None, lambda _: None)
    turn(sliced)
    with monkeypatch.context() as patched:
        patched.setattr(lanes_module, "_write_to_all", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            turn(sliced)
    sliced.node.publish(crowd[0].connection.principal, "42", "again", None, lambda _: None)
    sliced.settle()

    assert count(crowd, "to all") == 5
    assert count(crowd, "again") == 6
