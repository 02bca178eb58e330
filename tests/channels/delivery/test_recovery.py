"""History and live stream are joined without a gap and without a repeat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.delivery.recovery import LIVE, Recovery, StartPoint, first_offset, resumes
from itemwire.engines.base import EMPTY, History
from itemwire.messages import Position, Publication
from tests.fakes import CHANNEL, LateEngine, Stage, draft


def publication(offset: int) -> Publication:
    """Make the message of an offset."""
    return Publication.of(draft(), offset)


def test_gives_history_first_and_then_what_came_after_it() -> None:
    """What was held may be in the history too: the offset tells."""
    recovery = Recovery(1000)
    for offset in (2, 3, 4, 5):
        recovery.receive(publication(offset))
    history = History(Position("e", 3), [publication(2), publication(3)], complete=True)

    merged = recovery.merge(history)

    assert merged.position == Position("e", 3)
    assert [one.offset for one in merged.publications] == [2, 3, 4, 5]


def test_gives_nothing_old_to_a_client_that_asked_for_no_replay() -> None:
    """Its history is empty, but its position says what is past."""
    recovery = Recovery(1000)
    for offset in (2, 3, 4):
        recovery.receive(publication(offset))

    assert [
        one.offset for one in recovery.merge(History(Position("e", 3), [], True)).publications
    ] == [4]


def test_begins_with_what_was_heard_first() -> None:
    """A history that is read late does not take away what a client may already rely on."""
    recovery = Recovery(1000)
    for offset in (2, 3, 4):
        recovery.receive(publication(offset))
    merged = recovery.merge(History(Position("e", 3), [], complete=True), from_first=True)

    assert merged.position == Position("e", 1)
    assert [one.offset for one in merged.publications] == [2, 3, 4]


@pytest.mark.parametrize("published", [[], [4]])
def test_begins_where_the_stream_stands_if_no_more_was_heard(published: list[int]) -> None:
    """Nothing was heard at all, or only what comes after the history."""
    history = History(Position("e", 3), [], complete=True)
    recovery = Recovery(1000)
    for offset in published:
        recovery.receive(publication(offset))
    merged = recovery.merge(history, from_first=True)

    assert merged.position == history.position
    assert [one.offset for one in merged.publications] == published


@given(published=st.lists(st.integers(0, 4), min_size=6, max_size=6), replay=st.integers(0, 20))
def test_misses_and_repeats_nothing_whenever_messages_arrive(
    published: list[int], replay: int
) -> None:
    """At every place between the join's question and its last answer (requirement 114)."""
    engine = LateEngine()
    stage = Stage(engine)
    before, *meanwhile, after = published
    publish(engine, before)
    peer = stage.join(start=StartPoint(replay=replay))
    for count in meanwhile:  # subscribe arrives, is answered; read arrives, is answered
        publish(engine, count)
        engine.step()
    publish(engine, after)

    welcome, *messages = peer.sees
    total = sum(published)
    expected = range(max(welcome["offset"] - replay, 0) + 1, total + 1)
    assert welcome["type"] == "welcome"
    assert [message["offset"] for message in messages] == list(expected)


def test_welcomes_a_late_joiner_with_the_position_its_history_ends_at() -> None:
    """`offset` in `welcome` is where the replay ends and the live stream begins."""
    engine = LateEngine()
    stage = Stage(engine)
    publish(engine, 5)
    peer = stage.join(start=StartPoint(replay=2))
    engine.step(3)
    publish(engine, 1)
    engine.settle()

    assert [(one["type"], one["offset"]) for one in peer.sees] == [
        ("welcome", 5),
        ("message", 4),
        ("message", 5),
        ("message", 6),
    ]


def publish(engine: LateEngine, count: int) -> None:
    """Publish from elsewhere, at once."""
    for _ in range(count):
        engine.inner.publish(CHANNEL, draft(), lambda _: None)


def test_nobody_resumes_from_a_channel_that_could_not_be_made() -> None:
    """While its store took no writes messages may have come and gone, all under one name."""
    assert not resumes(EMPTY.position, EMPTY)
    assert resumes(Position("e", 0), History(Position("e", 0), [], complete=True))


@pytest.mark.parametrize(
    ("since", "replay", "start"),
    [
        pytest.param(None, 0, LIVE, id="live"),
        pytest.param(None, 5, StartPoint(replay=5), id="replay"),
        pytest.param("e:7", 0, StartPoint(Position("e", 7)), id="since"),
        pytest.param("e:7", 5, StartPoint(Position("e", 7), 5), id="both"),
    ],
)
def test_begins_where_a_client_has_written(since: str | None, replay: int, start: object) -> None:
    """Nothing written is: with what is published from now on."""
    assert StartPoint.of(since, replay) == start


@pytest.mark.parametrize("since", ["", "7", "e:", ":7", "e:-1", "e:7 ", "e:x"])
def test_refuses_a_start_that_says_nothing(since: str) -> None:
    """A typing error is no wish to begin now."""
    with pytest.raises(ValueError, match="write <epoch>:<offset>"):
        StartPoint.of(since, 0)


@pytest.mark.parametrize(
    ("position", "offsets", "first"),
    [(3, [], 3), (3, [2, 3], 1), (3, [4, 5], 3), (3, [3], 2), (0, [], 0), (2, [4], 2)],
)
def test_hears_everything_after_the_first_offset(
    position: int, offsets: list[int], first: int
) -> None:
    """What a resume proves: before the oldest message that was sent, or where the stream stood."""
    history = History(Position("e", position), list(map(publication, offsets)), complete=True)

    assert first_offset(history) == first


@pytest.mark.parametrize(
    ("since", "complete", "has_all"),
    [
        pytest.param(Position("e", 3), True, True, id="nothing-missed"),
        pytest.param(Position("e", 1), True, True, id="all-there"),
        pytest.param(Position("e", 4), True, False, id="not-reached"),
        pytest.param(Position("f", 1), True, False, id="another-epoch"),
        pytest.param(Position("e", 1), False, False, id="forgotten"),
    ],
)
def test_resumes_only_where_nothing_is_missing(
    since: Position, complete: bool, has_all: bool
) -> None:
    """The same epoch, an offset that was reached, and no message forgotten."""
    assert resumes(since, History(Position("e", 3), [], complete)) is has_all
