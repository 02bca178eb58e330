"""The metered engine: it changes no answer, and counts unfinished requests."""

from __future__ import annotations

import asyncio

import pytest
from typing_extensions import override

from itemwire.counters import OPERATIONS, OperationCounters
from itemwire.engines.base import (
    EMPTY,
    Answer,
    Bounds,
    ChannelBounds,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
    read_of_nothing,
)
from itemwire.engines.faults import AWAY, FULL, UNKNOWN, EngineFault
from itemwire.engines.memory import MemoryEngine
from itemwire.engines.metered import MeteredEngine
from itemwire.messages import Draft, Position
from tests.conformance.engine_contract import EngineContract
from tests.conformance.value_contract import ValueContract
from tests.fakes import CHANNEL, LateEngine, complete, draft


@pytest.fixture
def counters() -> dict[str, OperationCounters]:
    """What is counted."""
    return {operation: OperationCounters() for operation in OPERATIONS}


@pytest.fixture
def inner() -> LateEngine:
    """An engine far away."""
    return LateEngine()


@pytest.fixture
def engine(inner: LateEngine, counters: dict[str, OperationCounters]) -> MeteredEngine:
    """The engine, counted, with a clock that goes on by a second each time it is looked at."""
    seconds = iter(range(1000))
    engine = MeteredEngine(inner, counters, clock=lambda: next(seconds))
    complete(engine.start(Sink()))
    return engine


def ask_everything(engine: MeteredEngine, answers: list[object]) -> None:
    """Ask an engine all it answers."""
    engine.subscribe(CHANNEL, answers.append)
    engine.publish(CHANNEL, draft(), answers.append)
    engine.read(CHANNEL, Span(1), answers.append)
    engine.erase(CHANNEL, answers.append)
    engine.post(b"notice", 2_000_000_000, answers.append)
    engine.tell(CHANNEL, b"words", answers.append)
    engine.put("key", b"value", 30, answers.append)
    engine.take("key", answers.append)


def test_passes_on_every_answer(engine: MeteredEngine, inner: LateEngine) -> None:
    """Counting is nobody's business but the operator's."""
    answers: list[object] = []
    ask_everything(engine, answers)
    inner.settle()

    nothing, position, history, erased, posted, told, kept, taken = answers
    done = (nothing, erased, posted, told, kept, taken)
    assert done == (None, None, None, None, None, b"value")
    assert isinstance(position, Position)
    assert position == history.position  # type: ignore[attr-defined] # a History
    assert inner.heard == {CHANNEL}
    engine.unsubscribe(CHANNEL)
    assert inner.heard == set()


def test_knows_what_is_still_to_be_answered(
    engine: MeteredEngine, inner: LateEngine, counters: dict[str, OperationCounters]
) -> None:
    """A number that stays up says that the engine hangs, before anything times out."""
    ask_everything(engine, [])
    waiting = {operation: one.pending for operation, one in counters.items()}
    inner.settle()

    assert waiting == dict.fromkeys(OPERATIONS, 1)
    assert {one.pending for one in counters.values()} == {0}
    assert {one.seconds.count for one in counters.values()} == {1}
    assert {one.seconds.total for one in counters.values()} == {len(OPERATIONS)}


def test_counts_errors_by_operation(
    engine: MeteredEngine, inner: LateEngine, counters: dict[str, OperationCounters]
) -> None:
    """One that fails to store is another fault than one that fails to read."""
    inner.broken.add("publish")
    answers: list[object] = []
    ask_everything(engine, answers)
    inner.settle()

    assert sum(isinstance(answer, EngineError) for answer in answers) == 1
    assert {name: one.errors for name, one in counters.items() if one.errors} == {"publish": 1}
    assert (counters["publish"].done, counters["read"].done) == (0, 1)


def test_counts_and_times_what_is_answered_at_once(counters: dict[str, OperationCounters]) -> None:
    """It never waits, and takes the time of the call."""
    seconds = iter(range(1000))
    inner = MemoryEngine(Bounds(10, 1000, 60))
    engine = MeteredEngine(inner, counters, clock=lambda: next(seconds))
    ask_everything(engine, [])

    assert {one.pending for one in counters.values()} == {0}
    assert {one.done for one in counters.values()} == {1}
    assert {one.seconds.total for one in counters.values()} == {1}


def test_counts_what_is_published_in_one_call(counters: dict[str, OperationCounters]) -> None:
    """It is the way of nearly every message on an engine that answers at once."""
    seconds = iter(range(1000))
    engine = MeteredEngine(
        MemoryEngine(Bounds(10, 1000, 60)), counters, clock=lambda: next(seconds)
    )
    position = engine.publish_now(CHANNEL, draft())

    assert isinstance(position, Position)
    publishes = counters["publish"]
    assert (publishes.pending, publishes.done, publishes.seconds.total) == (0, 1, 1)


def test_sees_what_is_refused_in_one_call(
    counters: dict[str, OperationCounters], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator is told of a store that is full, whichever way it was found."""
    inner = MemoryEngine(Bounds(10, 1000, 60))
    engine = MeteredEngine(inner, counters)
    full = EngineError("no room", FULL)
    monkeypatch.setattr(inner, "publish_now", lambda _channel, _draft: full)

    async def publish() -> object:
        await engine.start(Sink())
        try:
            return engine.publish_now(CHANNEL, draft()), engine.fault
        finally:
            await engine.stop()

    assert asyncio.run(publish()) == (full, FULL)
    assert (counters["publish"].errors, counters["publish"].done) == (1, 0)


@pytest.mark.parametrize("is_away", [False, True])
def test_is_available_when_the_engine_is(
    engine: MeteredEngine, inner: LateEngine, is_away: bool
) -> None:
    """Readiness is asked of what clients use."""
    inner.is_away = is_away

    assert engine.is_available is not is_away


class Metered:
    """The engine around one in memory."""

    def open_engine(self, bounds: ChannelBounds) -> Engine:
        """Make the engine under test."""
        counters = {operation: OperationCounters() for operation in OPERATIONS}
        return MeteredEngine(MemoryEngine(bounds), counters)


class TestKeepsThePromisesOfItsEngine(Metered, EngineContract):
    """Whatever an engine promises holds through it: clients never meet another."""


class TestKeepsThoseOfValues(Metered, ValueContract):
    """As above."""


@pytest.mark.parametrize("fault", [FULL, UNKNOWN, AWAY])
@pytest.mark.parametrize("is_degraded", [True, False])
def test_a_channel_that_does_not_exist_is_empty_while_the_engine_takes_no_writes(
    fault: EngineFault, is_degraded: bool, counters: dict[str, OperationCounters]
) -> None:
    """Also for who was not told in time that it could not be made: the watch knows it of others."""

    class NothingThere(LateEngine):
        """One on which nothing can be begun."""

        @override
        def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
            answer(read_of_nothing(EngineError("late", fault)))

        @override
        def publish_now(self, channel: str, draft: Draft) -> Position | EngineError:
            return EngineError("full", FULL)

    async def scene() -> History | EngineError:
        engine = MeteredEngine(NothingThere(), counters)
        await engine.start(Sink())
        if is_degraded:
            engine.publish_now(CHANNEL, draft())
        found: list[History | EngineError] = []
        engine.read(CHANNEL, Span(1), found.append)
        await engine.stop()
        return found[0]

    found = asyncio.run(scene())

    if fault is FULL or (is_degraded and fault is UNKNOWN):
        assert found is EMPTY
    else:
        assert isinstance(found, EngineError)
        assert found.fault is fault
