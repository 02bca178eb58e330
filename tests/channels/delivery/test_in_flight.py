"""Publishes in flight are bounded, for the node and for each connection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itemwire.channels.delivery.in_flight import SHARES, InFlight, TooManyInFlight
from itemwire.engines.base import EngineError
from itemwire.messages import Position
from tests.fakes import (
    EVERYTHING,
    ITEM,
    LIMITS,
    PLAIN,
    ItemRules,
    LateEngine,
    Peer,
    Stage,
    principal,
)

NOWHERE = Position("e", 1)
OTHER = "43"
FEW = replace(LIMITS, max_in_flight=20, max_in_flight_bytes=100_000)


def entered(stage: Stage, engine: LateEngine, *subjects: str) -> list[Peer]:
    """Let clients join, each in its own time."""
    peers = [stage.join(subject) for subject in subjects]
    engine.settle()
    stage.settle()
    return peers


def says(peer: Peer, count: int, data: str = "x") -> list[str]:
    """Publish so many messages without waiting, and give the codes of those refused."""
    for ref in range(count):
        peer.says("publish", ref=ref, data=data)
    return [error["code"] for error in peer.saw("error")]


@pytest.mark.parametrize(("limit", "limit_bytes"), [(2, 1000), (1000, 20)])
def test_counts_until_answered(limit: int, limit_bytes: int) -> None:
    """Both bounds hold, and an answer of either kind frees its place."""
    heard: list[object] = []
    in_flight = InFlight(limit, limit_bytes)
    first = in_flight.track(10, heard.append)
    second = in_flight.track(10, heard.append)
    third = in_flight.track(10, heard.append)
    assert first is not None
    assert second is not None
    first(NOWHERE)
    second(EngineError("away"))

    assert third is None
    assert heard[0] is NOWHERE
    assert len(heard) == 2
    assert in_flight.track(10, heard.append) is not None


def test_lets_one_through_whatever_its_size() -> None:
    """A bound smaller than a message must slow its publisher and not silence it."""
    in_flight = InFlight(10, 5)

    assert in_flight.track(1000, lambda _: None) is not None
    assert in_flight.track(1, lambda _: None) is None


def test_says_once_in_the_log_that_the_engine_is_behind(caplog: pytest.LogCaptureFixture) -> None:
    """A flood must not become a flood of lines; the next time is news again."""
    in_flight = InFlight(1, 10)
    for _ in range(2):
        answered = in_flight.track(1, lambda _: None)
        assert answered is not None
        for _ in range(100):
            in_flight.track(1, lambda _: None)
        answered(NOWHERE)

    assert [record.getMessage() for record in caplog.records] == [
        "engine_behind of=node unanswered=1 bytes=1"
    ] * 2


def test_refuses_at_once_what_is_past_the_bound(late_engine: LateEngine) -> None:
    """An engine that is behind must not become a queue without an end; asking again helps."""
    stage = Stage(late_engine, FEW)
    (peer,) = entered(stage, late_engine, "alice")
    refused = says(peer, 5)
    waiting = len(late_engine.steps)
    late_engine.settle()

    assert refused == ["overloaded"] * 3
    assert waiting == FEW.max_in_flight // SHARES
    assert all(error["temporary"] for error in peer.saw("error"))
    assert [reply["offset"] for reply in peer.saw("reply")] == [1, 2]
    assert says(peer, 1) == ["overloaded"] * 3  # those of before: there is room again


def test_counts_bytes_too(late_engine: LateEngine) -> None:
    """A few large messages fill as much memory as many small ones."""
    stage = Stage(late_engine, FEW)
    (peer,) = entered(stage, late_engine, "alice")

    assert says(peer, 2, data="x" * 9_000) == ["overloaded"]


def test_one_connection_cannot_take_all_there_is(late_engine: LateEngine) -> None:
    """One client's flood while the engine is behind leaves the others theirs (requirement 102)."""
    stage = Stage(late_engine, FEW)
    flooding, other = entered(stage, late_engine, "mallory", "bob")
    refused = says(flooding, 1000)

    assert len(refused) == 1000 - FEW.max_in_flight // SHARES
    assert says(other, 1) == []


def test_a_socket_of_many_items_has_one_share(late_engine: LateEngine) -> None:
    """It may name a hundred items, and is one client all the same."""
    stage = Stage(late_engine, FEW)
    many = stage.open(ItemRules({ITEM: EVERYTHING, OTHER: EVERYTHING}))
    many.says("ping")  # answered, so that there is something it saw last
    for item in (ITEM, OTHER):
        many.joins(item)
    late_engine.settle()
    for ref, item in enumerate((ITEM, OTHER, ITEM)):
        many.says("publish", ref=ref, item=item, data="x")

    assert [error["code"] for error in many.saw("error")] == ["overloaded"]


def test_all_connections_together_cannot_take_more(late_engine: LateEngine) -> None:
    """Many sockets are no way round: the bound of the node is on what is stored, not on whom."""
    stage = Stage(late_engine, FEW)
    peers = entered(stage, late_engine, *(f"user{n}" for n in range(SHARES + 1)))
    refused = [says(peer, 2) for peer in peers]

    assert refused == [[]] * SHARES + [["overloaded"] * 2]
    assert len(late_engine.steps) == FEW.max_in_flight


def test_counts_what_others_publish_to_the_node(late_engine: LateEngine) -> None:
    """A backend's messages over HTTP wait for the same engine."""
    stage = Stage(late_engine, FEW)
    heard: list[object] = []
    for _ in range(FEW.max_in_flight + 1):
        stage.node.publish(principal("backend"), ITEM, "x", None, heard.append)

    (refused,) = heard
    assert isinstance(refused, TooManyInFlight)


def test_releases_the_share_of_a_connection_that_left(late_engine: LateEngine) -> None:
    """Who floods and goes must not leave the node full."""
    stage = Stage(late_engine, FEW)
    for _ in range(SHARES * 2):
        (peer,) = entered(stage, late_engine, "mallory")
        says(peer, 10)
        peer.session.closed(1006)
        late_engine.settle()
    (peer,) = entered(stage, late_engine, "bob")

    assert says(peer, 2) == []


def test_a_plain_client_past_its_share_is_told_by_its_end(late_engine: LateEngine) -> None:
    """It has no words for `error`; `overloaded` says when to come back."""
    stage = Stage(late_engine, FEW)
    peer = stage.join(codec=PLAIN)
    late_engine.settle()
    for _ in range(2):
        peer.session.received("x")
    before = list(peer.transport.reasons)
    peer.session.received("x")

    assert (before, peer.transport.reasons) == ([], ["overloaded"])


def test_the_memory_engine_is_never_behind() -> None:
    """What is answered at once takes no room: nobody is refused for being fast."""
    peer = Stage(limits=FEW).join()

    assert says(peer, FEW.max_in_flight) == []
