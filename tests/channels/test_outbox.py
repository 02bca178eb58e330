"""What waits for a client whose transport is paused: in order, and bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.channels.outbox import Outbox


def drained(outbox: Outbox) -> list[object]:
    """Take everything that waits."""
    taken: list[object] = []
    while (chunk := outbox.take()) is not None:
        taken.append(chunk)
    return taken


def test_gives_chunks_back_in_order() -> None:
    """Order is per channel and ends at the client, not at the buffer."""
    outbox = Outbox(limit=100)
    for chunk in (b"one", b"two", b"three"):
        assert outbox.keep(chunk, unsent=0)

    assert drained(outbox) == [b"one", b"two", b"three"]


@pytest.mark.parametrize("unsent", [0, 40])
def test_counts_what_the_transport_has_unsent_too(unsent: int) -> None:
    """Memory is memory, on whichever side of the transport it lies."""
    exact, short = Outbox(limit=unsent + 4), Outbox(limit=unsent + 3)
    for outbox in (exact, short):
        outbox.keep(b"1", unsent)

    assert exact.keep(b"abc", unsent)
    assert not short.keep(b"abc", unsent)


def test_keeps_one_chunk_of_any_size_when_nothing_else_waits() -> None:
    """The answer to one question may be larger than the limit, and its asker reads well."""
    outbox = Outbox(limit=3)
    kept, kept_another = outbox.keep(b"the whole history", 10), outbox.keep(b"1", 10)

    assert (kept, kept_another) == (True, False)
    assert drained(outbox) == [b"the whole history"]


def test_keeps_a_replay_beside_the_limit_and_in_order() -> None:
    """A joiner has had no chance to read: its replay is bounded as history is."""
    outbox = Outbox(limit=3)
    for number in range(10):
        outbox.keep_uncounted(b"replayed %d" % number)
    kept = outbox.keep(b"new", unsent=0)

    assert kept
    assert drained(outbox) == [*(b"replayed %d" % n for n in range(10)), b"new"]


def test_bounds_empty_chunks_too() -> None:
    """No bytes travel in them, and each takes memory: a flood of them must end (93)."""
    outbox = Outbox(limit=1000)

    assert not all(outbox.keep(b"", unsent=0) for _ in range(10_000))


def test_does_not_keep_what_it_refuses() -> None:
    """A refused chunk that still went out later would be out of order, or past an end."""
    outbox = Outbox(limit=3)
    for chunk in (b"1", b"too big to wait", b"23"):
        outbox.keep(chunk, unsent=0)

    assert drained(outbox) == [b"1", b"23"]


def test_frees_the_room_of_what_was_taken() -> None:
    """The limit is on what waits now, not on what ever waited."""
    outbox = Outbox(limit=3)
    for _ in range(100):
        outbox.keep(b"a", unsent=0)
        outbox.keep(b"bc", unsent=0)
        drained(outbox)

    assert outbox.keep(b"a", unsent=0)
    assert outbox.keep(b"bc", unsent=0)


@given(
    limit=st.integers(0, 40),
    moves=st.lists(st.one_of(st.binary(max_size=8), st.none())),
)
def test_agrees_with_a_naive_queue(limit: int, moves: list[bytes | None]) -> None:
    """Whatever the sequence: what was kept comes out once and in order, within the limit."""
    outbox = Outbox(limit)
    waiting: list[bytes] = []
    for move in moves:
        if move is None:
            assert outbox.take() == (waiting.pop(0) if waiting else None)
        elif outbox.keep(move, unsent=0):
            waiting.append(move)
        assert len(waiting) <= 1 or sum(map(len, waiting)) <= limit or not all(waiting)
    assert drained(outbox) == waiting
