"""The background tasks of an application: they survive errors, and end at the stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from itemwire import lifespan
from itemwire.lifespan import lifespan_of
from tests.fakes import Stage


def test_a_tick_that_fails_is_not_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the next one no token would ever expire again."""
    monkeypatch.setattr(lifespan, "TICK_SECONDS", 0)
    node = Stage().node
    ticks: list[asyncio.Event] = []

    async def scene() -> bool:
        second = asyncio.Event()

        def tick() -> None:
            if ticks:
                second.set()
            ticks.append(second)
            raise ZeroDivisionError("a fault of ours")

        monkeypatch.setattr(node, "tick", tick)
        async with lifespan_of(node, state={})(FastAPI()):
            await asyncio.wait_for(second.wait(), 5)
            return node.is_ready

    assert asyncio.run(scene())
    assert "a fault of ours" in caplog.text
    assert not node.is_ready


def test_leaves_no_task_and_a_stopped_node_behind() -> None:
    """Also when what ran inside failed."""
    node = Stage().node

    async def scene() -> int:
        with pytest.raises(ZeroDivisionError):
            async with lifespan_of(node, state={})(FastAPI()):
                raise ZeroDivisionError
        return len(asyncio.all_tasks())

    assert asyncio.run(scene()) == 1
    assert not node.is_ready


def test_opens_what_is_beside_before_the_node_and_closes_it_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A socket may need a policy as long as there are sockets."""
    node = Stage().node
    seen: list[str] = []

    async def note(what: str) -> None:
        seen.append(what)

    @contextlib.asynccontextmanager
    async def part() -> AsyncIterator[None]:
        seen.append("opened")
        yield
        seen.append("closed")

    async def scene() -> None:
        monkeypatch.setattr(node, "start", lambda: note("started"))
        monkeypatch.setattr(node, "stop", lambda: note("stopped"))
        async with lifespan_of(node, part, state={})(FastAPI()):
            seen.append("running")

    asyncio.run(scene())

    assert seen == ["opened", "started", "running", "stopped", "closed"]


def test_observes_how_late_each_tick_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever blocks the loop delays its tick as it delays everybody's messages."""
    monkeypatch.setattr(lifespan, "TICK_SECONDS", 0)
    node = Stage().node

    async def scene() -> None:
        ticked = asyncio.Event()
        monkeypatch.setattr(node, "tick", ticked.set)
        async with lifespan_of(node, state={})(FastAPI()):
            await asyncio.wait_for(ticked.wait(), 5)

    asyncio.run(scene())

    assert node.counters.loop_lag.count >= 1
    assert 0 <= node.counters.loop_lag.total < 5 * node.counters.loop_lag.count
