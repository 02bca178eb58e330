"""Servers that answer those who read, and let all who write wait: on real ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final

import asyncpg
import pytest

from itemwire.counters import OPERATIONS, OperationCounters
from itemwire.engines import open_engine
from itemwire.engines.base import NO_EPOCH, EngineError
from itemwire.engines.faults import SILENT
from itemwire.engines.metered import MeteredEngine
from itemwire.engines.postgres.engine import init_store
from tests.engines.watched import BOUNDS, Watched, play
from tests.postgres_server import PostgresServer, execute, running_postgres

Fault = Callable[[str], AbstractAsyncContextManager[None]]


LATE_SECONDS: Final = 0.6  # more than lies between the times for a new channel and for its read


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Run a server for the tests of this file."""
    with running_postgres() as running:
        init_store(running.url)
        yield running


@contextlib.asynccontextmanager
async def standby_gone(url: str) -> AsyncIterator[None]:
    """Let each commit wait for a synchronous replica that is not there."""
    await execute(url, "ALTER SYSTEM SET synchronous_standby_names = 'gone'")
    await execute(url, "SELECT pg_reload_conf()")
    yield
    await execute(url, "ALTER SYSTEM RESET synchronous_standby_names")
    await execute(url, "SELECT pg_reload_conf()")


@contextlib.asynccontextmanager
async def writes_locked(url: str) -> AsyncIterator[None]:
    """Lock a table as CREATE INDEX does: it can be read, and not written to."""
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE itemwire.messages IN SHARE MODE")
        yield
    await connection.close()


ROWS: Final[dict[str, Fault]] = {
    "postgresql-standby-gone": standby_gone,
    "postgresql-writes-locked": writes_locked,
}


@pytest.mark.server
@pytest.mark.parametrize("name", ROWS)
def test_a_store_that_lets_all_writes_wait_is_degraded(
    name: str, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Publishers are told to ask again, and everything else goes on (134)."""
    counters = {operation: OperationCounters() for operation in OPERATIONS}

    async def scene() -> None:
        url = server.url
        one = Watched(MeteredEngine(open_engine(url, BOUNDS), counters))
        async with one.running():
            before = await one.publish(f"{name} before")
            async with ROWS[name](url):
                while one.engine.fault is None:
                    with contextlib.suppress(EngineError):
                        await one.publish(f"{name} after", key=f"{name} after")
                    await asyncio.sleep(0.05)  # a client's backoff
                assert one.engine.fault is SILENT
                assert (await one.read()).position.epoch == before.epoch
                assert (await one.read(channel=f"item:new {name}")).position.epoch == NO_EPOCH
                with server.paused():
                    late = asyncio.create_task(one.read(channel=f"item:late {name}"))
                    await asyncio.sleep(LATE_SECONDS)
                assert (await late).position.epoch == NO_EPOCH
            await one.until(lambda: one.engine.fault is None)
            await one.publish_at_last(f"{name} after")
            await one.until(lambda: one.texts[-1] == f"{name} after")

            assert one.losses == []

    play(scene)

    told = [line for line in caplog.messages if line.startswith(("engine_deg", "engine_avail"))]
    assert told[0].startswith("engine_degraded fault=silent retry=later problem=")
    assert told[1:] == ["engine_available"]
