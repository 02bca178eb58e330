"""A subscription begins after a position, with a replay, or with the live stream."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.delivery.recovery import StartPoint, resumes
from itemwire.engines.base import History, Span
from itemwire.messages import Position
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action
from tests.fakes import CHANNEL, ITEM, LIMITS, PLAIN, LateEngine, Peer, Stage, draft


def publish(stage: Stage, count: int) -> Position:
    """Publish so many from elsewhere; give the position after the last."""
    for number in range(count):
        stage.engine.publish(CHANNEL, draft(str(number)), lambda _: None)
    return position(stage)


def position(stage: Stage) -> Position:
    """Tell where the item stands."""
    told: list[Any] = []
    stage.node.history(ITEM, Span(0), told.append)
    return told[0].position  # type: ignore[no-any-return]


def offsets(peer: Peer) -> list[int]:
    """List the messages that reached a client."""
    return [one["offset"] for one in peer.saw("message")]


def verdict(peer: Peer) -> tuple[bool, bool]:
    """Tell whether the client was resuming, and whether it has all it missed."""
    welcome = peer.sees[0]
    return welcome["was_recovering"], welcome["recovered"]


@pytest.mark.parametrize("missed", [0, 1, 3, LIMITS.history_limit])
def test_gives_all_that_was_missed_since_a_position(stage: Stage, missed: int) -> None:
    """In order, without repeats, and it says so."""
    since = publish(stage, 4)
    publish(stage, missed)
    peer = stage.join(start=StartPoint(since))

    assert verdict(peer) == (True, True)
    assert offsets(peer) == list(range(5, 5 + missed))


def test_gives_none_of_what_was_missed_when_it_is_more_than_can_be_read(stage: Stage) -> None:
    """All or none: a part would look like all."""
    since = publish(stage, 1)
    publish(stage, LIMITS.history_limit + 1)
    peer = stage.join(start=StartPoint(since))

    assert verdict(peer) == (True, False)
    assert offsets(peer) == []


def test_gives_none_of_what_was_missed_when_some_is_forgotten(stage: Stage) -> None:
    """The stream keeps 100."""
    since = publish(stage, 1)
    publish(stage, 101)
    peer = stage.join(start=StartPoint(since))

    assert verdict(peer) == (True, False)
    assert offsets(peer) == []


@pytest.mark.parametrize(
    "since",
    [
        pytest.param({"epoch": "another"}, id="another-epoch"),
        pytest.param({"offset": 99}, id="an-offset-that-never-was"),
    ],
)
def test_does_not_resume_from_a_position_that_is_not_of_this_stream(
    stage: Stage, since: dict[str, Any]
) -> None:
    """The store was lost, or the client is mistaken (requirement 113)."""
    here = publish(stage, 3)
    known, unknown = (
        stage.join(start=StartPoint(Position(**fields)))
        for fields in (
            {"epoch": here.epoch, "offset": 2},
            {"epoch": here.epoch, "offset": 2, **since},
        )
    )

    assert (verdict(known), offsets(known)) == ((True, True), [3])
    assert (verdict(unknown), offsets(unknown)) == ((True, False), [])


def test_replays_where_it_cannot_resume(stage: Stage) -> None:
    """Who asks for both wants the screen filled, and is told that there is a hole."""
    publish(stage, 5)
    peer = stage.join(start=StartPoint(Position("another", 2), replay=2))

    assert verdict(peer) == (True, False)
    assert offsets(peer) == [4, 5]


def test_does_not_replay_what_it_resumes(stage: Stage) -> None:
    """Nothing comes twice."""
    since = publish(stage, 5)
    publish(stage, 1)
    peer = stage.join(start=StartPoint(since, replay=4))

    assert verdict(peer) == (True, True)
    assert offsets(peer) == [6]


@pytest.mark.parametrize("replay", [0, 3])
@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "lost"])
def test_a_right_to_history_that_is_lost_during_the_join_gives_nothing(
    late_stage: Stage, late_engine: LateEngine, replay: int, is_kept: bool
) -> None:
    """A right is judged when it is used: a refresh took it while the engine read (130)."""
    told: list[Any] = []
    for _ in range(5):
        late_engine.inner.publish(CHANNEL, draft(), told.append)
    start = StartPoint(replay=3) if replay else StartPoint(Position(told[0].epoch, 2))
    peer = late_stage.join(start=start)
    late_engine.step(3)  # the read is under way
    if not is_kept:
        principal = peer.session.connection.principal
        less = Grant(principal, ITEM, frozenset({Action.SUBSCRIBE}))
        late_stage.node.change_rights(peer.session.subscription, less)
    late_engine.settle()

    assert offsets(peer) == ([3, 4, 5] if is_kept else [])
    assert verdict(peer) == (not replay, is_kept and not replay)


def test_a_plain_client_is_signed_nothing(stage: Stage) -> None:
    """It has no word for a welcome; with a proof of another socket it resumes all the same."""
    since = publish(stage, 3)
    resume = stage.join("alice", can=frozenset({Action.SUBSCRIBE})).sees[0]["resume"]
    publish(stage, 1)
    come = partial(stage.join, "alice", can=frozenset({Action.SUBSCRIBE}), codec=PLAIN)
    with_proof = come(start=StartPoint.of(f"{resume}:3", 0))
    without = come(start=StartPoint(since))

    assert (with_proof.transport.frames, without.transport.frames) == (["0"], [])


def test_a_first_join_recovers_nothing(stage: Stage) -> None:
    """Both flags say so."""
    publish(stage, 5)

    assert verdict(stage.join()) == (False, False)


def test_ends_a_join_during_which_more_is_published_than_can_be_held(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """It says so instead of leaving a hole; the client comes again, and is welcomed."""
    peer = late_stage.join()
    late_engine.step(2)
    flood = draft("x" * LIMITS.outbox_bytes)
    for _ in range(2):
        late_engine.inner.publish(CHANNEL, flood, lambda _: None)
    late_engine.settle()
    again = late_stage.join()
    late_engine.settle()

    assert peer.transport.reasons == ["overloaded"]
    assert again.sees[0]["type"] == "welcome"


@given(
    missed=st.integers(0, 8),
    published=st.lists(st.integers(0, 4), min_size=5, max_size=5),
    offset=st.integers(0, 12),
)
def test_resumes_without_gap_or_repeat_whenever_messages_arrive(
    missed: int, published: list[int], offset: int
) -> None:
    """At every place between the join's question and its last answer (requirement 114)."""
    engine = LateEngine()
    stage = Stage(engine)
    publish_at_once(engine, missed)
    since = Position(epoch_of(engine), offset)
    peer = stage.join(start=StartPoint(since))
    for count in published[:-1]:  # subscribe arrives, is answered; read arrives, is answered
        publish_at_once(engine, count)
        engine.step()
    publish_at_once(engine, published[-1])

    total = missed + sum(published)
    read_at = peer.sees[0]["offset"]
    first = offset + 1 if offset <= read_at else read_at + 1
    assert verdict(peer) == (True, offset <= read_at)
    assert offsets(peer) == list(range(first, total + 1))


@given(st.integers(0, 5), st.integers(0, 5), st.booleans(), st.booleans())
def test_proves_a_resume_by_epoch_offset_and_completeness(
    since: int, reached: int, is_same: bool, is_complete: bool
) -> None:
    """Centrifugo's rule, all three parts of it."""
    history = History(Position("e", reached), [], is_complete)

    proven = resumes(Position("e" if is_same else "d", since), history)

    assert proven == (is_same and is_complete and since <= reached)


def test_tells_subscribers_what_is_lost_in_its_place(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """What the engine could not heal is never hidden (requirement 112)."""
    peer = late_stage.join()
    late_engine.settle()
    publish_at_once(late_engine, 2)
    epoch = peer.sees[0]["epoch"]
    late_engine.lose(CHANNEL, Position(epoch, 5))

    assert [one["type"] for one in peer.sees] == ["welcome", "message", "message", "gap"]
    assert peer.sees[-1] == {"type": "gap", "item": ITEM, "epoch": epoch, "from": 3, "to": 5}


def test_tells_subscribers_that_the_count_began_anew(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """The store was lost: all before it is (requirement 113)."""
    peer = late_stage.join()
    late_engine.settle()
    late_engine.lose(CHANNEL, Position("new", 0))
    late_engine.lose(CHANNEL, Position("new", 2))

    gaps = [(one["epoch"], one["from"], one["to"]) for one in peer.saw("gap")]
    assert gaps == [("new", 1, 0), ("new", 1, 2)]


def test_ends_a_client_that_has_no_word_for_a_gap(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """The only way to tell it; one with the word stays."""
    plain, json = late_stage.join(codec=PLAIN), late_stage.join()
    late_engine.settle()
    late_engine.lose(CHANNEL, Position("new", 0))

    assert plain.transport.reasons == ["messages_lost"]
    assert json.transport.reasons == []


def test_does_not_admit_a_join_during_which_messages_were_lost(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """It could not say whether they were among what it resumed."""
    peer = late_stage.join()
    late_engine.step(2)
    late_engine.lose(CHANNEL, Position("new", 0))
    late_engine.settle()

    assert peer.transport.reasons == ["overloaded"]


def test_resumes_with_no_history_at_all_from_where_it_stands() -> None:
    """A server that keeps nothing can still prove that nothing was missed."""
    stage = Stage(limits=replace(LIMITS, history_limit=0))
    since = publish(stage, 3)
    nothing_missed = stage.join(start=StartPoint(since))
    publish(stage, 1)
    something_missed = stage.join(start=StartPoint(since))

    assert verdict(nothing_missed) == (True, True)
    assert verdict(something_missed) == (True, False)


def publish_at_once(engine: LateEngine, count: int) -> None:
    """Publish from elsewhere, without a way to go."""
    for _ in range(count):
        engine.inner.publish(CHANNEL, draft(), lambda _: None)


def epoch_of(engine: LateEngine) -> str:
    """Tell the epoch of the item."""
    told: list[Any] = []
    engine.inner.read(CHANNEL, Span(0), told.append)
    return str(told[0].position.epoch)
