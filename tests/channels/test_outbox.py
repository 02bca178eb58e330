"""What waits for one client: in order, bounded, and handed over as fast as it is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from api.channels.outbox import Outbox as SizedOutbox
from api.messages import Frame, frame_size
from tests.fakes import RecordingTransport


class Outbox(SizedOutbox):
    """An outbox that is told the true size of every frame."""

    @override
    def push(self, frame: Frame, size: int | None = None) -> bool:
        return super().push(frame, frame_size(frame) if size is None else size)


def test_hands_a_frame_to_a_ready_transport_at_once() -> None:
    """A client that reads well costs no memory, whatever it is sent."""
    transport = RecordingTransport()
    outbox = Outbox(transport, limit=0)

    assert outbox.push("x" * 1000)
    assert transport.frames == ["x" * 1000]


def test_keeps_frames_in_order_for_a_transport_that_is_busy() -> None:
    """Order is per channel and ends at the client, not at the buffer."""
    transport = RecordingTransport(room=1)
    outbox = Outbox(transport, limit=100)
    for frame in ("one", b"two", "three"):
        assert outbox.push(frame)
    taken_before = list(transport.frames)

    transport.room = None
    outbox.flush()

    assert taken_before == ["one"]
    assert transport.frames == ["one", b"two", "three"]


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        pytest.param("abc", 3, id="ascii"),
        pytest.param("äöü", 6, id="two-bytes-a-character"),
        pytest.param("😀", 4, id="four-bytes-a-character"),
        pytest.param(b"\x00\xff", 2, id="binary"),
    ],
)
def test_counts_bytes_up_to_the_limit_and_no_further(frame: Frame, size: int) -> None:
    """A limit on characters would let emoji take four times the memory."""
    exact = Outbox(RecordingTransport(room=1), limit=size + 1)
    short = Outbox(RecordingTransport(room=1), limit=size)
    for outbox in (exact, short):
        outbox.push("taken at once")
        outbox.push("1")

    assert exact.push(frame)
    assert not short.push(frame)


def test_keeps_one_frame_of_any_size_when_nothing_else_waits() -> None:
    """The answer to one question may be larger than the limit, and its asker reads well."""
    transport = RecordingTransport(room=1)
    outbox = Outbox(transport, limit=3)
    outbox.push("taken at once")
    kept, kept_another = outbox.push("the whole history"), outbox.push("1")

    transport.room = None
    outbox.flush()

    assert (kept, kept_another) == (True, False)
    assert transport.frames == ["taken at once", "the whole history"]


def test_keeps_a_replay_beside_the_limit_and_in_order() -> None:
    """A joiner has had no chance to read: its replay is bounded as history is."""
    transport = RecordingTransport(room=1)
    outbox = Outbox(transport, limit=3)
    outbox.push("welcome")
    for number in range(10):
        outbox.push_uncounted(f"replayed {number}")
    kept = outbox.push("new")

    transport.room = None
    outbox.flush()

    assert kept
    assert transport.frames == ["welcome", *(f"replayed {n}" for n in range(10)), "new"]


def test_hands_a_replay_to_a_ready_transport_at_once() -> None:
    """As any other frame."""
    transport = RecordingTransport()
    Outbox(transport, limit=3).push_uncounted("replayed")

    assert transport.frames == ["replayed"]


def test_bounds_empty_frames_too() -> None:
    """No bytes travel in them, and each takes memory: a flood of them must end (93)."""
    outbox = Outbox(RecordingTransport(room=1), limit=1000)

    assert not all(outbox.push("") for _ in range(10_000))


def test_does_not_keep_what_it_refuses() -> None:
    """A refused frame that still went out later would be out of order, or past an end."""
    transport = RecordingTransport(room=1)
    outbox = Outbox(transport, limit=3)
    for frame in ("first", "1", "too big to wait", "23"):
        outbox.push(frame)

    transport.room = None
    outbox.flush()

    assert transport.frames == ["first", "1", "23"]


def test_frees_the_room_of_what_was_sent() -> None:
    """The limit is on what waits now, not on what ever waited."""
    transport = RecordingTransport(room=1)
    outbox = Outbox(transport, limit=3)
    for _ in range(100):
        outbox.push("abc")
        transport.room = 1
        outbox.flush()

    assert outbox.push("abc")


def test_stops_flushing_when_the_transport_is_busy_again() -> None:
    """The transport says when; pushing on would move the queue into the server's own buffer."""
    transport = RecordingTransport(room=1)
    outbox = Outbox(transport, limit=100)
    for number in range(5):
        outbox.push(str(number))

    transport.room = 2
    outbox.flush()

    assert transport.frames == ["0", "1", "2"]


def test_forgets_what_waits_when_told_to() -> None:
    """After an expiry nothing more may reach the client, but there is room to tell it so."""
    transport = RecordingTransport(room=1)
    outbox = Outbox(transport, limit=6)
    outbox.push("first")
    outbox.push("waits!")
    outbox.discard()
    kept = outbox.push("second")

    transport.room = None
    outbox.flush()

    assert kept
    assert transport.frames == ["first", "second"]


@given(
    limit=st.integers(0, 40),
    moves=st.lists(
        st.one_of(st.text("aé😀", max_size=8), st.binary(max_size=8), st.integers(1, 3))
    ),
)
def test_agrees_with_a_naive_queue(limit: int, moves: list[str | bytes | int]) -> None:
    """Whatever the sequence of frames and of room: what was taken goes out once and in order."""
    transport = RecordingTransport(room=1)
    outbox = Outbox(transport, limit)
    outbox.push("first")
    taken: list[Frame] = ["first"]
    for move in moves:
        if isinstance(move, int):
            transport.room = move
            outbox.flush()
        elif outbox.push(move):
            taken.append(move)
        waiting = [frame_size(frame) for frame in taken[len(transport.frames) :] if frame]
        assert len(waiting) <= 1 or sum(waiting) <= limit
        assert transport.frames == taken[: len(transport.frames)]
