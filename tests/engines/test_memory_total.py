"""The memory engine's bound for all histories together, of all publishers and channels."""

from __future__ import annotations

import tracemalloc
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from itemwire.engines.memory import KEY_BYTES, MESSAGE_BYTES, STREAM_BYTES
from tests.engines.test_memory import Engine

ONE: Final = STREAM_BYTES + MESSAGE_BYTES + 10_000  # a stream with one message of `BIG`
BIG: Final = "x" * 10_000


def test_forgets_what_nobody_hears_the_longest_idle_first() -> None:
    """A publisher with rights to every item could fill the memory with items otherwise."""
    engine = Engine(total=3 * ONE)
    first, *_ = [engine.add(BIG, at=f"item:{n}") for n in range(3)]
    second = engine.get(at="item:1").position
    engine.add(BIG, at="item:3")

    engine.add(BIG, at="item:0")

    assert engine.get(at="item:0").position.epoch != first.epoch  # it began anew
    assert engine.get(at="item:1").position == second  # read meanwhile, so not the longest idle
    assert engine._total.bytes <= 3 * ONE


def test_keeps_what_is_subscribed_and_all_below_the_bound() -> None:
    """The accepted twin: those who are there lose nothing to those who only publish."""
    engine = Engine(total=3 * ONE)
    engine.hear("item:heard")
    kept = engine.add(BIG, at="item:heard")

    for number in range(20):
        engine.add(BIG, at=f"item:{number}")

    assert engine.get(at="item:heard").position == kept
    assert len(engine.get(at="item:heard").publications) == 1
    assert engine._total.bytes <= 3 * ONE


def test_a_subscribed_channel_that_grows_forgets_its_own_oldest_messages() -> None:
    """With nothing idle left. Its order goes on, and `complete` says what is missing."""
    engine = Engine(total=3 * ONE)
    engine.hear("item:1")
    engine.hear("item:2")
    engine.add(BIG, at="item:1")

    epochs = {engine.add(BIG, at="item:2").epoch for _ in range(5)}

    found = engine.get(at="item:2")
    assert len(epochs) == 1
    assert found.position.offset == 5
    assert [one.offset for one in found.publications] == [4, 5]
    assert not found.complete
    assert len(engine.get(at="item:1").publications) == 1
    assert engine._total.bytes <= 3 * ONE


def test_idempotency_keys_are_counted_and_go_last() -> None:
    """Ten thousand keys an item are a memory of their own."""
    engine = Engine(messages=1, total=STREAM_BYTES + 10 * (KEY_BYTES + 10))
    engine.hear("item:1")

    for number in range(50):
        engine.add("", key=f"{number:010d}", at="item:1")

    assert engine._total.bytes <= STREAM_BYTES + 10 * (KEY_BYTES + 10)
    assert engine.add("", key=f"{49:010d}", at="item:1").offset == 50


def test_without_a_bound_nothing_is_forgotten_for_it() -> None:
    """Nought sets no limit."""
    engine = Engine(total=0)
    first = engine.add(BIG, at="item:0")

    for number in range(1, 200):
        engine.add(BIG, at=f"item:{number}")

    assert engine.get(at="item:0").position == first


def test_counts_no_less_than_it_takes() -> None:
    """A bound on a figure that is too small would be none: measured with many small items."""
    engine = Engine(messages=10, total=10**9)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1000):
        for message in range(3):
            engine.add(f"{number} {message}", key=f"{number} {message}", at=f"item:{number}")
    took = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert took <= engine._total.bytes < took * 3


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "hear", "leave", "get", "wait"]),
            st.integers(0, 4),
            st.integers(0, 3000),
        ),
        max_size=60,
    )
)
def test_the_sum_is_that_of_its_parts(steps: list[tuple[str, int, int]]) -> None:
    """Whatever comes and goes; after a publish it is within the bound or all that is left is."""
    bound = 8 * STREAM_BYTES
    engine = Engine(messages=5, total=bound)
    for step, number, size in steps:
        channel = f"item:{number}"
        if step == "add":
            engine.add("x" * size, key=str(size) if size % 2 else None, at=channel)
            assert engine._total.bytes <= bound
        elif step == "hear":
            engine.hear(channel)
        elif step == "leave":
            engine.unsubscribe(channel)
        elif step == "get":
            engine.get(at=channel)
        else:
            engine.clock.now += size / 5
        streams = [*engine._subscribed.values(), *engine._idle.values()]
        assert engine._total.bytes == sum(stream._taken for stream in streams)
        assert all(
            stream._taken
            == STREAM_BYTES
            + stream._bytes
            + MESSAGE_BYTES * len(stream._kept)
            + sum(KEY_BYTES + len(key) for key in stream.keys or ())
            for stream in streams
        )
