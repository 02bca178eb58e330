"""When an engine counts as one that stores nothing, and until when: what is tried meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from itemwire.engines import open_engine, write_watch
from itemwire.engines.base import NO_SINK, EngineError
from itemwire.engines.faults import FORBIDDEN, FULL
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
