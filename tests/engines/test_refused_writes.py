"""Engines that take no writes: full, read-only, failing or forbidden, on real servers.

Each row puts a server into a state and takes it out again. What follows is the same on every
engine: publishers hear whether asking again helps, everything else goes on, the state has one line
in the log when it begins and one when it ends, and nobody has to do anything for it to end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from itemwire.counters import OPERATIONS, OperationCounters
from itemwire.engines import memory as memory_engine
from itemwire.engines import open_engine, write_watch
from itemwire.engines.base import Answer, Engine, EngineError, Span
from itemwire.engines.faults import (
    DAMAGED,
    FAILING,
    FORBIDDEN,
    FULL,
    READ_ONLY,
    UNPREPARED,
    EngineFault,
)
from itemwire.engines.metered import MeteredEngine
from itemwire.engines.nats.engine import NatsEngine
from itemwire.engines.sqlite.engine import SqliteEngine
from itemwire.messages import Draft, Position
from tests.conformance.asked_engine import answer_of
from tests.engines.postgres.database import new_database
from tests.engines.watched import BOUNDS, Watched, play
from tests.nats_server import NatsServer, running_nats
from tests.postgres_server import execute, running_postgres
from tests.redis_server import RedisServer, running_redis


class Stage(NamedTuple):
    """An engine of a node, and its server."""

    node: Watched
    inner: Engine
    server: object
    url: str


Fault = Callable[[Stage], AbstractAsyncContextManager[None]]


def ask(stage: Stage, command: str) -> None:
    """Send a Redis server a command that it has to accept."""
    assert isinstance(stage.server, RedisServer)
    assert not stage.server.ask(command).startswith(b"-")


def redis_with(begin: str, end: str) -> Fault:
    """Put a Redis server into a state by a command, and out of it by another."""

    @contextlib.asynccontextmanager
    async def state(stage: Stage) -> AsyncIterator[None]:
        await asyncio.to_thread(ask, stage, begin)
        yield
        await asyncio.to_thread(ask, stage, end)

    return state


@contextlib.asynccontextmanager
async def failing_snapshot(stage: Stage) -> AsyncIterator[None]:
    """Let a Redis server fail to write its snapshot: a folder is where the file should be."""
    await asyncio.to_thread(ask, stage, "CONFIG SET dbfilename folder")
    await asyncio.to_thread(ask, stage, 'CONFIG SET save "3600 1"')
    await asyncio.to_thread(ask, stage, "BGSAVE")
    await stage.node.until(lambda: _has_failed(stage))
    yield
    await asyncio.to_thread(ask, stage, "CONFIG SET dbfilename dump.rdb")
    await asyncio.to_thread(ask, stage, "BGSAVE")


def _has_failed(stage: Stage) -> bool:
    assert isinstance(stage.server, RedisServer)
    return b"rdb_last_bgsave_status:err" in stage.server.ask("INFO persistence")


def sqlite_with(begin: str, end: str) -> Fault:
    """Put a file into a state by a pragma, and out of it by another."""

    @contextlib.asynccontextmanager
    async def state(stage: Stage) -> AsyncIterator[None]:
        assert isinstance(stage.inner, SqliteEngine)
        assert stage.inner._writer is not None
        stage.inner._writer._connection.execute(f"PRAGMA {begin}").fetchall()
        yield
        stage.inner._writer._connection.execute(f"PRAGMA {end}").fetchall()

    return state


def sqlite_moved(name: str, *, replaced: bool = False) -> Fault:
    """Take a file, or the folder itself, from its place, and put it back."""

    @contextlib.asynccontextmanager
    async def state(stage: Stage) -> AsyncIterator[None]:
        place = Path(stage.url.removeprefix("sqlite:///")).parent / name
        elsewhere = place.resolve().parent / "elsewhere"
        place = place.resolve()
        place.rename(elsewhere)
        if replaced:
            place.write_bytes(elsewhere.read_bytes())
        yield
        elsewhere.rename(place)

    return state


def postgres_raising(state: str) -> Fault:
    """Let each message that is stored raise an error, as the server does where it is its own."""
    raising = f"BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{state}'; END"

    @contextlib.asynccontextmanager
    async def trigger(stage: Stage) -> AsyncIterator[None]:
        make = f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${raising}$$"
        on = "BEFORE INSERT ON itemwire.messages FOR EACH ROW EXECUTE FUNCTION refuse()"
        await execute(stage.url, make)
        await execute(stage.url, f"CREATE TRIGGER refuse {on}")
        yield
        await execute(stage.url, "DROP FUNCTION refuse CASCADE")

    return trigger


def postgres_with(begin: str, end: str) -> Fault:
    """Put a database into a state by a statement, and out of it by another."""

    @contextlib.asynccontextmanager
    async def state(stage: Stage) -> AsyncIterator[None]:
        await execute(stage.url, begin)
        await execute(stage.url, "SELECT pg_reload_conf()")
        await _until_refused(stage.inner)
        yield
        await execute(stage.url, end)
        await execute(stage.url, "SELECT pg_reload_conf()")

    return state


async def _until_refused(engine: Engine) -> None:
    """Wait until the state has reached the sessions that the engine has open."""

    def ask(answer: Answer[Position]) -> None:
        engine.publish("item:elsewhere", Draft("elsewhere", "alice", 1.5, "x"), answer)

    while True:
        try:
            await answer_of(ask)
        except EngineError:
            return


def stream_with(**settings: object) -> Fault:
    """Change the settings of the stream of channels, and put them back."""

    @contextlib.asynccontextmanager
    async def state(stage: Stage) -> AsyncIterator[None]:
        engine = stage.inner
        assert isinstance(engine, NatsEngine)
        request = engine._connection.request
        config = (await engine._streams._info(request, engine._names.channels)).config
        await engine._streams._change(request, "UPDATE", config | settings)
        yield
        await engine._streams._change(request, "UPDATE", config)

    return state


def nats_forbidding(subject: str) -> Fault:
    """Let the server's user publish to a subject no more."""

    @contextlib.asynccontextmanager
    async def state(stage: Stage) -> AsyncIterator[None]:
        assert isinstance(stage.server, NatsServer)
        stage.server.reload(permitted(f"permissions: {{ publish: {{ deny: '{subject}' }} }}"))
        await _until_refused(stage.inner)
        yield
        stage.server.reload(permitted())

    return state


def permitted(rights: str = "") -> str:
    """Write a NATS configuration with a user of these rights, who needs no name."""
    user = f"{{ user: node, password: node, {rights} }}"
    return f"authorization {{ users = [{user}] }}\nno_auth_user: node"


class Row(NamedTuple):
    """An engine, the state that it is put into, and what follows from it."""

    engine: str
    fault: Fault
    expected: EngineFault


ROWS: Final = {
    "redis-full": Row(
        "redis", redis_with("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"), FULL
    ),
    "redis-snapshot-fails": Row("redis", failing_snapshot, FAILING),
    "redis-too-few-replicas": Row(
        "redis",
        redis_with("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
        READ_ONLY,
    ),
    "redis-forbidden": Row(
        "redis",
        redis_with("ACL SETUSER default -hset -set", "ACL SETUSER default +hset +set"),
        FORBIDDEN,
    ),
    "sqlite-full": Row("sqlite", sqlite_with("max_page_count=1", "max_page_count=100000"), FULL),
    "sqlite-read-only": Row("sqlite", sqlite_with("query_only=on", "query_only=off"), READ_ONLY),
    "sqlite-removed": Row("sqlite", sqlite_moved("itemwire.db"), FAILING),
    "sqlite-log-removed": Row("sqlite", sqlite_moved("itemwire.db-wal"), FAILING),
    "sqlite-folder-removed": Row("sqlite", sqlite_moved("."), FAILING),
    "sqlite-replaced": Row("sqlite", sqlite_moved("itemwire.db", replaced=True), FAILING),
    "postgresql-read-only": Row(
        "postgresql",
        postgres_with(
            "ALTER SYSTEM SET default_transaction_read_only = on",
            "ALTER SYSTEM RESET default_transaction_read_only",
        ),
        READ_ONLY,
    ),
    "postgresql-forbidden": Row(
        "postgresql",
        postgres_with(
            "REVOKE INSERT ON itemwire.messages FROM writer",
            "GRANT INSERT ON itemwire.messages TO writer",
        ),
        FORBIDDEN,
    ),
    "postgresql-function-missing": Row(
        "postgresql",
        postgres_with(
            "ALTER FUNCTION itemwire.publish_all RENAME TO elsewhere",
            "ALTER FUNCTION itemwire.elsewhere RENAME TO publish_all",
        ),
        UNPREPARED,
    ),
    "postgresql-full": Row("postgresql", postgres_raising("53100"), FULL),
    "postgresql-notify-full": Row("postgresql", postgres_raising("54000"), FULL),
    "postgresql-disk-fails": Row("postgresql", postgres_raising("58030"), FAILING),
    "postgresql-damaged": Row("postgresql", postgres_raising("XX001"), DAMAGED),
    "nats-full": Row("nats", stream_with(max_bytes=200), FULL),
    "nats-forbidden": Row("nats", nats_forbidding("itemwire.c.>"), FORBIDDEN),
}


class Started(NamedTuple):
    """A store, and the server that has it."""

    url: str
    server: object


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Run a server for the tests of this file."""
    folder = tmp_path_factory.mktemp("redis")
    (folder / "folder" / "full").mkdir(parents=True)
    with running_redis(folder, "--enable-protected-configs", "yes") as server:
        yield Started(server.url, server)


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Run a server for the tests of this file."""
    with running_nats(tmp_path_factory.mktemp("nats"), permitted()) as server:
        yield Started(server.url, server)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Started]:
    """Run a server for the tests of this file; its user owns nothing of the schema."""
    with running_postgres() as server:
        url = new_database(server)
        for statement in (
            "CREATE ROLE writer LOGIN",
            "GRANT USAGE ON SCHEMA itemwire TO writer",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA itemwire TO writer",
        ):
            asyncio.run(execute(url, statement))
        yield Started(url, server)


@pytest.fixture
def sqlite(tmp_path: Path) -> Started:
    """Name a file of this test, in a folder of its own."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return Started(f"sqlite:///{folder}/itemwire.db", None)


@pytest.fixture
def probing_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the end of a state be seen soon."""
    monkeypatch.setattr(write_watch, "PROBE_SECONDS", 0.05)


async def is_refused(stage: Stage, text: str) -> EngineFault:
    """Publish in vain, and return why."""
    with pytest.raises(EngineError) as refused:
        await stage.node.publish(text)
    return refused.value.fault


@pytest.mark.server
@pytest.mark.usefixtures("probing_often")
@pytest.mark.parametrize("name", ROWS)
def test_an_engine_that_takes_no_writes_is_degraded_until_it_does(
    name: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """All engines alike (requirements 134, 144)."""
    row = ROWS[name]
    started: Started = request.getfixturevalue(row.engine)
    url = started.url
    inner = open_engine(url.replace("postgres@", "writer@"), BOUNDS)
    counters = {operation: OperationCounters() for operation in OPERATIONS}
    large = "x" * 10_000

    async def scene() -> None:
        stage = Stage(Watched(MeteredEngine(inner, counters)), inner, started.server, url)
        one, channel = stage.node, f"item:{name}"
        async with one.running():
            before = await one.publish(f"{name} before")
            assert one.engine.fault is None
            async with row.fault(stage):
                assert [await is_refused(stage, f"{large}{n}") for n in range(3)] == [
                    row.expected
                ] * 3

                assert one.engine.fault is row.expected
                assert one.engine.is_available
                history = await one.read(Span(1))
                assert [each.data for each in history.publications] == [f"{name} before"]
                await one.subscribe(channel)
                assert (await one.read(channel=channel)).position.offset == 0
                assert one.engine.fault is row.expected
            await one.until(lambda: one.engine.fault is None)
            after = await one.publish(f"{name} after")
            await one.until(lambda: one.texts[-1] == f"{name} after")

            assert (after.epoch, after.offset) == (before.epoch, before.offset + 1)
            assert one.losses == []

    play(scene)

    told = [line for line in caplog.messages if line.startswith(("engine_deg", "engine_avail"))]
    retry = row.expected.refusal.retry
    assert told[0].startswith(f"engine_degraded fault={row.expected.name} retry={retry} problem=")
    assert told[1:] == ["engine_available"]


@pytest.mark.usefixtures("probing_often")
def test_a_memory_full_of_values_is_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tickets are refused and all else goes on, as on every engine."""
    monkeypatch.setattr(memory_engine, "MAX_VALUES_BYTES", 2000)
    inner = open_engine("memory://", BOUNDS)
    counters = {operation: OperationCounters() for operation in OPERATIONS}

    async def scene() -> None:
        one = Watched(MeteredEngine(inner, counters))
        async with one.running():
            await one.put("first", bytes(1000))
            with pytest.raises(EngineError) as refused:
                await one.put("second", bytes(1000))
            assert one.engine.fault is refused.value.fault is FULL
            assert (await one.publish("served")).offset == 1
            await one.take("first")
            await one.until(lambda: one.engine.fault is None)

    play(scene)
