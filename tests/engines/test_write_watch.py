"""When an engine counts as one that stores nothing, and until when: what is tried meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from typing_extensions import override

from itemwire.engines import open_engine, write_watch
from itemwire.engines.base import NO_SINK, Answer, EngineError
from itemwire.engines.faults import FORBIDDEN, FULL, SILENT
from itemwire.engines.memory import MemoryEngine
from itemwire.engines.write_watch import WriteWatch
from tests.conformance.asked_engine import WAIT_SECONDS
from tests.engines.watched import BOUNDS, play


@pytest.fixture
def probing_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the end of a state be seen soon."""
    monkeypatch.setattr(write_watch, "PROBE_SECONDS", 0.05)


@pytest.mark.usefixtures("probing_often")
def test_an_engine_that_was_stopped_is_tried_no_more() -> None:
    """The next start knows nothing of the fault before it."""
    watch = WriteWatch(open_engine("memory://", BOUNDS))

    async def scene() -> None:
        watch.take(EngineError("full", FULL))
        watch.stop()
        assert watch.fault is None
        watch.take(EngineError("full", FULL))
        assert watch.fault is None
        watch.start()
        watch.take(EngineError("full", FULL))
        assert watch.fault is FULL
        watch.stop()

    asyncio.run(scene())


@pytest.mark.usefixtures("probing_often")
@pytest.mark.parametrize("ends_by", ["a post that is taken", "no post at all"])
def test_notices_that_are_refused_are_a_fault_for_as_long(
    ends_by: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is tried in the meantime is no notice, and being taken says nothing of them."""

    async def scene() -> None:
        engine = open_engine("memory://", BOUNDS)
        watch = WriteWatch(engine)
        await engine.start(NO_SINK)
        try:
            for _ in range(3):
                watch.note_post(EngineError("no right", FORBIDDEN))
                await asyncio.sleep(write_watch.PROBE_SECONDS * 2)  # what is tried is taken
                assert watch.fault is FORBIDDEN
            if ends_by == "a post that is taken":
                watch.note_post(None)
            async with asyncio.timeout(WAIT_SECONDS):
                while watch.fault is not None:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
        finally:
            watch.stop()
            await engine.stop()

    play(scene)

    assert [line.split()[0] for line in caplog.messages] == ["engine_degraded", "engine_available"]


class Doubtful(MemoryEngine):
    """An engine that answers what is tried when the test says so."""

    is_there = True
    is_hung = True
    waiting: Answer[None] | None = None

    @property
    @override
    def is_available(self) -> bool:
        return self.is_there

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        if self.is_hung:
            self.waiting = answer
        else:
            answer(None)

    def fail(self) -> None:
        """Answer what was tried with an error that is no verdict."""
        assert self.waiting is not None
        self.waiting(EngineError("late"))


@pytest.mark.usefixtures("probing_often")
def test_an_engine_that_stores_for_nobody_is_silent(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write without a verdict says nothing by itself: it is tried whether others fare alike."""
    monkeypatch.setattr(write_watch, "HUNG_SECONDS", -1.0)
    monkeypatch.setattr(write_watch, "REMAKE_SECONDS", 0.01)

    async def scene() -> None:
        engine = Doubtful(BOUNDS)
        watch = WriteWatch(engine)
        watch.take(EngineError("late"))
        watch.take(EngineError("late"))
        assert watch.fault is None
        engine.fail()
        await until(lambda: watch.fault is SILENT)
        engine.is_hung = False
        await until(lambda: watch.fault is None)
        watch.stop()

    play(scene)

    assert [line.split()[0] for line in caplog.messages] == ["engine_degraded", "engine_available"]


@pytest.mark.usefixtures("probing_often")
@pytest.mark.parametrize("why", ["others are served", "connections break", "it is away"])
def test_a_write_without_a_verdict_degrades_nothing_by_itself(
    why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One item may be locked, a connection may have broken, and of an outage readiness tells."""
    monkeypatch.setattr(write_watch, "HUNG_SECONDS", 100.0 if why == "connections break" else -1.0)
    monkeypatch.setattr(write_watch, "REMAKE_SECONDS", 0.01)

    async def scene() -> None:
        engine = Doubtful(BOUNDS)
        engine.is_hung = why != "others are served"
        watch = WriteWatch(engine)
        watch.take(EngineError("late"))
        if engine.is_hung:
            engine.fail()
        engine.is_there = why != "it is away"
        await asyncio.sleep(0.1)  # its timers are real
        assert watch.fault is None
        watch.stop()

    play(scene)

    assert caplog.messages == []


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what nobody tells."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
