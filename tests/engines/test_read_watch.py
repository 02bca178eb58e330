"""When an engine that refuses a read counts as one that cannot be read, and until when."""

from __future__ import annotations

import asyncio

import pytest

from itemwire.engines import read_watch
from itemwire.engines.base import Answer, EngineError
from itemwire.engines.faults import AWAY, DAMAGED, FORBIDDEN, UNKNOWN, EngineFault
from itemwire.engines.read_watch import ReadWatch
from tests.engines.watched import play


class Store:
    """Something to read, which answers at once what the test says."""

    def __init__(self) -> None:
        self.problem: EngineError | None = None
        self.tries = 0
        self._tried = asyncio.Event()
        self.watch = ReadWatch(self.probe)
        self.watch.start()

    def probe(self, answer: Answer[None]) -> None:
        """Try to read."""
        self.tries += 1
        self._tried.set()
        answer(self.problem)

    async def until_tried(self, tries: int) -> None:
        """Wait until it was tried so often."""
        while self.tries < tries:
            self._tried.clear()
            await self._tried.wait()


@pytest.fixture(autouse=True)
def _probing_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the end of a refusal be seen soon."""
    monkeypatch.setattr(read_watch, "PROBE_SECONDS", 0.01)


@pytest.mark.parametrize("fault", [FORBIDDEN, AWAY], ids=lambda fault: fault.name)
def test_what_is_refused_to_every_read_lasts_until_one_succeeds(
    fault: EngineFault, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once when it begins, and once when it ends."""

    async def scene() -> None:
        store = Store()
        store.problem = EngineError("so it is", fault)
        store.watch.take(store.problem)
        assert store.watch.problem is store.problem
        store.watch.take(store.problem)
        await store.until_tried(3)
        assert store.watch.problem is store.problem
        store.problem = EngineError("nobody knows", UNKNOWN)  # which is no success
        await store.until_tried(5)
        assert store.watch.problem is not None
        store.problem = None
        await store.until_tried(store.tries + 1)
        assert store.watch.problem is None

    play(scene)

    assert caplog.messages == ["engine_unreadable problem=so it is", "engine_readable"]


@pytest.mark.parametrize("fault", [FORBIDDEN, AWAY, DAMAGED, UNKNOWN], ids=lambda fault: fault.name)
def test_what_is_refused_to_one_read_is_about_that_one(
    fault: EngineFault, caplog: pytest.LogCaptureFixture
) -> None:
    """All others are served, so the node is as ready as before."""

    async def scene() -> None:
        store = Store()
        store.watch.take(EngineError("of this channel", fault))
        assert store.watch.problem is None
        assert store.tries == (fault in {FORBIDDEN, AWAY})

    play(scene)

    assert caplog.messages == []


def test_nothing_is_tried_once_it_was_stopped() -> None:
    """The next start knows nothing of what was before it."""

    async def scene() -> None:
        store = Store()
        store.problem = EngineError("so it is", FORBIDDEN)
        store.watch.take(store.problem)
        store.watch.stop()
        assert store.watch.problem is None
        store.watch.take(store.problem)
        assert (store.watch.problem, store.tries) == (None, 1)
        store.watch.start()
        store.watch.take(store.problem)
        assert store.watch.problem is store.problem
        store.watch.stop()

    play(scene)
