"""What nodes say of themselves, and how their part is put together and ended."""

from __future__ import annotations

import asyncio
import os

import pytest
from fastapi import FastAPI

from itemwire.assembly import Assembly
from itemwire.main import create_app
from itemwire.ops import operations
from itemwire.ops.node_list import NodeFacts, NodeList, NodeNow
from itemwire.settings import Settings
from tests.conftest import SECRET
from tests.ops.nodes import Nodes

NOW = NodeNow(3, 2, "degraded", "issuer_away", 0.4)


def test_each_node_says_what_only_it_knows() -> None:
    """Whichever is asked; the first is the one that is."""

    async def scene() -> tuple[list[NodeFacts], list[str]]:
        async with Nodes("a", "b").running() as nodes:
            lists = [
                NodeList(
                    one.stage.node.questions,
                    lambda: NOW,
                    engine=f"engine-{number}",
                    workers=number,
                    clock=lambda: 5.9,
                )
                for number, one in enumerate(nodes.all, 1)
            ]
            for one in lists:
                one.start()
            page = await lists[1].all()
            return page.nodes, page.missing

    (second, first), missing = asyncio.run(scene())

    assert (first.engine, first.workers, second.engine, second.workers) == (
        *("engine-1", 1),
        *("engine-2", 2),
    )
    assert missing == []
    assert (first.started_at, first.pid, first.status) == (5, os.getpid(), "degraded")
    assert (first.connections, first.channels, first.reason, first.lag_ms) == (
        *(3, 2),
        *("issuer_away", 0.4),
    )


@pytest.fixture
def app() -> FastAPI:
    """Give an application without the admin API."""
    return create_app(Settings(secret=SECRET, _env_file=None))


def test_samples_for_as_long_as_the_application_runs(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no admin API is served: another node's operators see this one, too."""
    monkeypatch.setattr(operations, "SAMPLE_SECONDS", 0.001)
    assembly = Assembly.of(app)
    taken: list[object] = []

    async def scene() -> int:
        are_there = asyncio.Event()

        def take(sample: object) -> None:
            taken.append(sample)
            if len(taken) == 3:
                are_there.set()

        monkeypatch.setattr(assembly.operations.feed, "publish", take)
        async with app.router.lifespan_context(app):
            await are_there.wait()
        return len(asyncio.all_tasks())

    assert asyncio.run(scene()) == 1


def test_goes_on_sampling_whatever_fails(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Operators look when something fails."""
    monkeypatch.setattr(operations, "SAMPLE_SECONDS", 0.001)
    tried: list[object] = []

    async def scene() -> None:
        are_there = asyncio.Event()

        def fail(sample: object) -> None:
            tried.append(sample)
            if len(tried) == 3:
                are_there.set()
            raise RuntimeError("broken")

        monkeypatch.setattr(Assembly.of(app).operations.feed, "publish", fail)
        async with app.router.lifespan_context(app):
            await are_there.wait()

    asyncio.run(scene())

    assert "tick_failed" in caplog.text


def test_can_be_started_again(app: FastAPI) -> None:
    """As in tests: what was ended answers anew."""

    async def scene() -> list[int]:
        nodes = Assembly.of(app).operations.nodes
        found: list[int] = []
        for _ in range(2):
            async with app.router.lifespan_context(app):
                found.append(len((await nodes.all()).nodes))
        return found

    assert asyncio.run(scene()) == [1, 1]
