"""The last message of channels that retain it: when it is found, and what it may take."""

from __future__ import annotations

import pytest

from itemwire.engines.base import Bounds, History, Span, retained_at
from itemwire.engines.memory import MemoryEngine
from itemwire.engines.retained import RetainedMessages
from itemwire.engines.storage_format import pack, unpack_retained
from itemwire.messages import Draft, Position, Publication

DRAFT = Draft("status:1", "alice", 1.5, "open")
MESSAGE = Publication.of(DRAFT, 7)
DAY = 86_400.0


@pytest.mark.parametrize(
    ("position", "offset"),
    [
        pytest.param(Position("e", 7), 7, id="the last of its epoch"),
        pytest.param(Position("e", 8), None, id="not the last"),
        pytest.param(Position("new", 0), 0, id="of an epoch before, and nothing since"),
        pytest.param(Position("new", 1), None, id="of an epoch before, and something since"),
    ],
)
def test_is_found_where_it_is_the_last_message(position: Position, offset: int | None) -> None:
    """It may outlive its epoch, and never stands where a later message belongs."""
    found = retained_at(position, "e", MESSAGE)

    assert (found and found.offset) == offset
    assert found is None or found.data == "open"


@pytest.mark.parametrize("kept", [b"", b"7", b"7 e", b"x e \x90", b"7 \xff \x90", b"7 e \x90"])
def test_what_no_node_has_written_is_none(kept: bytes) -> None:
    """It must not keep the channel from being read."""
    assert unpack_retained(kept, Position("e", 7)) is None
    assert unpack_retained(b"7 e " + pack(DRAFT), Position("e", 7)) == MESSAGE


def test_frees_what_it_replaces_and_what_is_over() -> None:
    """What is kept is what counts."""
    kept = RetainedMessages()
    for number in range(3):
        kept.keep(f"c{number}", "e", MESSAGE, now=number, seconds=10)
    of_three = kept.bytes
    kept.keep("c2", "e", MESSAGE, now=3, seconds=10)
    same = kept.bytes
    kept.keep("c3", "e", MESSAGE, now=11, seconds=10)  # two are over by then

    assert same == of_three
    assert kept.bytes == of_three // 3 * 2
    assert [kept.forget_oldest() for _ in range(3)] == [True, True, False]
    assert kept.bytes == 0


def test_memory_has_a_bound_for_what_is_retained_too() -> None:
    """The channel that was published to longest ago loses its message first."""
    bounds = Bounds(messages=0, bytes=0, seconds=DAY, total_bytes=40_000, retained=DAY)
    engine = MemoryEngine(bounds)
    found: list[bool] = []

    def note(history: object) -> None:
        assert isinstance(history, History)
        found.append(history.retained is not None)

    for number in range(100):
        draft = Draft(str(number), None, 0, "x" * 1000)
        engine.publish(f"item:{number}", draft, lambda _: None)
    for number in range(100):
        engine.read(f"item:{number}", Span(0, retained=True), note)

    assert found[-1]
    assert not found[0]
    assert 5 < sum(found) < 40
