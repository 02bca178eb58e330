"""Workers that share their metrics, over real sockets in one process."""

from __future__ import annotations

import asyncio
import functools
import logging
import stat
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from itemwire.observability.worker_metrics import WorkerMetrics
from itemwire.serving.workers import _make_folder

pytestmark = pytest.mark.server

P = ParamSpec("P")


def in_a_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **given: P.kwargs) -> None:
        asyncio.run(test(*args, **given))

    return run


def registry_of(number: int) -> CollectorRegistry:
    """Return the registry of one worker."""
    registry = CollectorRegistry()
    Gauge("open", "Sockets.", ["codec"], registry=registry).labels("json").set(number)
    Counter("seen", "Messages.", registry=registry).inc(10 * number)
    Histogram("took", "Seconds.", registry=registry, buckets=[1]).observe(number)
    return registry


@asynccontextmanager
async def worker(folder: Path, number: int, count: int = 2) -> AsyncIterator[WorkerMetrics]:
    """Run one worker of several."""
    metrics = WorkerMetrics(folder, number, count, registry_of(number))
    await metrics.start()
    try:
        yield metrics
    finally:
        metrics.stop()


async def page(metrics: WorkerMetrics) -> list[str]:
    """Return the lines of the page for Prometheus."""
    text = generate_latest(await metrics.gather()).decode()
    return [line for line in text.splitlines() if "_created" not in line]


async def ups(metrics: WorkerMetrics) -> list[str]:
    """Return the worker numbers and whether each answered."""
    return [line[-3:] for line in await page(metrics) if line.startswith("itemwire_worker_up{")]


@in_a_loop
async def test_each_series_has_the_number_of_its_worker(tmp_path: Path) -> None:
    """A worker that restarts resets its own counters, and all workers can be added up."""
    async with worker(tmp_path, 0) as one, worker(tmp_path, 1) as other:
        told = await page(one)
        assert told == await page(other)

    for line in (
        'itemwire_worker_up{worker="0"} 1.0',
        'itemwire_worker_up{worker="1"} 1.0',
        'open{codec="json",worker="0"} 0.0',
        'open{codec="json",worker="1"} 1.0',
        'seen_total{worker="1"} 10.0',
        'took_bucket{le="+Inf",worker="1"} 1.0',
        "# TYPE took histogram",
    ):
        assert told.count(line) == 1, line


@in_a_loop
async def test_a_worker_that_is_gone_is_told_of_as_such(tmp_path: Path) -> None:
    """Its series disappear; its replacement, with the same number, appears at once."""
    async with worker(tmp_path, 0) as one:
        async with worker(tmp_path, 1):
            assert await ups(one) == ["1.0", "1.0"]
        before = await ups(one)
        (tmp_path / "1-0.sock").touch()  # of one that was killed: it removes nothing
        killed = await ups(one)
        async with worker(tmp_path, 1):
            assert await ups(one) == ["1.0", "1.0"]

    assert before == killed == ["1.0", "0.0"]
    assert not (tmp_path / "1-0.sock").exists()


@pytest.mark.parametrize("answer", [b"", b"\xc1 not what it should be"], ids=["hangs", "nonsense"])
@in_a_loop
async def test_a_worker_that_does_not_answer_properly_hangs_nobody(
    tmp_path: Path, answer: bytes
) -> None:
    """Even one that accepts the request and hangs: the other workers' figures come."""
    asked: list[asyncio.StreamWriter] = []

    async def say(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(writer)
        writer.write(answer)
        if answer:
            writer.close()

    server = await asyncio.start_unix_server(say, tmp_path / "1-0.sock")
    async with server, worker(tmp_path, 0) as one, asyncio.timeout(5):
        told = await ups(one)
        for writer in asked:
            writer.close()

    assert len(asked) == 1
    assert told == ["1.0", "0.0"]


@in_a_loop
async def test_a_worker_that_cannot_listen_serves_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """For example with too long a path: it is logged, and the scrape has the others."""
    caplog.set_level(logging.WARNING)
    async with worker(tmp_path / "no" / "such", 0) as one:
        assert await ups(one) == ["1.0", "0.0"]

    assert "metrics_unshared worker=0" in caplog.text


def test_nobody_else_may_enter_their_folder() -> None:
    """The sockets ask for no token."""
    folder = _make_folder()
    assert folder is not None
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.rmdir()

    assert mode == stat.S_IRWXU
