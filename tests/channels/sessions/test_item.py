"""A connection with one item acts on what its client sends once it has been welcomed."""

from __future__ import annotations

import pytest

from tests.fakes import LIMITS, PLAIN, LateEngine, Stage

LIMIT = LIMITS.max_message_bytes


def test_welcomes_before_it_answers_anything(late_stage: Stage, late_engine: LateEngine) -> None:
    """`welcome` is the first envelope after a join, also for who talks before it is there."""
    peer = late_stage.join()
    peer.session.received('{"type":"ping"}')
    late_engine.settle()

    assert [one["type"] for one in peer.sees] == ["welcome", "pong"]


def test_does_in_order_what_was_said_before_the_welcome(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """A client need not wait for the answer to its handshake to talk."""
    peer = late_stage.join()
    for ref in range(3):
        peer.session.received(f'{{"type":"publish","data":{ref},"ref":{ref}}}')
    late_engine.settle()

    assert peer.sees[0]["type"] == "welcome"
    assert [one["data"] for one in peer.saw("message")] == [0, 1, 2]
    assert [one["ref"] for one in peer.saw("reply")] == [0, 1, 2]


@pytest.mark.parametrize(("count", "reasons"), [(10, []), (11, ["overloaded"])])
def test_keeps_no_more_than_its_limit_before_the_welcome(
    late_stage: Stage, late_engine: LateEngine, count: int, reasons: list[str]
) -> None:
    """The engine may take its time, and the memory must not grow with it."""
    peer = late_stage.join(codec=PLAIN)
    for _ in range(count):
        peer.session.received("x" * (LIMITS.outbox_bytes // 10))
    late_engine.settle()

    assert peer.transport.reasons == reasons


def test_ends_who_says_too_much_before_the_welcome(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """What comes early is kept, within the bounds of what may wait."""
    peer = late_stage.join(codec=PLAIN)
    peer.session.received("x" * LIMIT)
    open_before = peer.connection.is_open
    peer.session.received("x" * LIMIT)
    late_engine.settle()

    assert open_before
    assert peer.transport.reasons == ["overloaded"]


@pytest.mark.parametrize(("broken", "reasons"), [({"read"}, ["overloaded"]), (set[str](), [])])
def test_ends_where_the_engine_cannot_join_it(
    late_stage: Stage, late_engine: LateEngine, broken: set[str], reasons: list[str]
) -> None:
    """A socket of one item without that item would only wait; its client is to come back."""
    late_engine.broken |= broken
    peer = late_stage.join()
    peer.session.received('{"type":"ping"}')
    late_engine.settle()

    assert peer.transport.reasons == reasons
    assert bool(peer.saw("pong")) is not bool(reasons)
