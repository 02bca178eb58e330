"""What the doctor says of real servers: as they should be, and with a right or a limit too few."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from itemwire.engines.postgres.engine import init_store
from itemwire.ops.doctor.clocks import OF_ENGINE
from itemwire.ops.doctor.engine_checks import check_engine
from itemwire.ops.doctor.findings import Finding, Level
from itemwire.ops.doctor.visit import Visit
from itemwire.settings import Settings
from tests.conftest import SECRET
from tests.nats_server import running_nats
from tests.ops.doctor.findings import found, remedies, said
from tests.postgres_server import PostgresServer, running_postgres
from tests.redis_server import RedisServer, running_redis
from tests.server_clock import ServerClock
from tests.server_process import free_port

BOUNDED: Final = ("--maxmemory", "64mb")
GUEST: Final = "GUEST-PASSWORD"


def report_of(url: str) -> list[Finding]:
    """Look at an engine."""
    return found(check_engine, Visit(Settings(secret=SECRET, engine_url=url, _env_file=None)))


def is_good(findings: list[Finding]) -> bool:
    """Tell whether there is nothing to do, but for the speed: a busy machine is no fault."""
    judged = [one for one in findings if "median" not in one.says]
    return {one.level for one in judged} == {Level.OK}


def test_has_nothing_against_a_redis_as_it_should_be(tmp_path: Path) -> None:
    """It keeps what it has, and this user may do all."""
    with running_redis(tmp_path, *BOUNDED) as server:
        report = report_of(server.url)

    assert is_good(report), said(report)
    assert "the clock of the engine says the same" in said(report)
    assert "a node can publish, hear, read, and keep tickets" in said(report)


def test_tells_a_redis_that_forgets_what_is_in_use(tmp_path: Path) -> None:
    """A key that is evicted takes a channel's epoch along."""
    with running_redis(tmp_path, *BOUNDED, "--maxmemory-policy", "allkeys-lru") as server:
        report = report_of(server.url)

    assert remedies(report) == {"set `maxmemory-policy noeviction`"}


def test_tells_a_redis_without_a_bound(tmp_path: Path) -> None:
    """It may be meant: the machine may have room for all."""
    with running_redis(tmp_path) as server:
        report = report_of(server.url)

    assert remedies(report) == set()
    assert len(remedies(report, Level.WARNING)) == 1


@pytest.mark.parametrize("taken", ["-publish", "-set", "-evalsha -eval", "-xrange -xrevrange"])
def test_tells_a_right_that_redis_does_not_give(taken: str, tmp_path: Path) -> None:
    """Whichever it is: the server would start, and be degraded with the first message."""
    with running_redis(tmp_path, *BOUNDED) as server:
        server.ask(f"ACL SETUSER guest on >{GUEST} allkeys allchannels +@all {taken}")
        report = report_of(server.url.replace("://", f"://guest:{GUEST}@"))

    assert remedies(report), said(report)
    assert GUEST not in said(report)


def test_tells_a_clock_that_is_off(tmp_path: Path) -> None:
    """Nodes and the engine date by their own: what ends by time ends at another."""
    clock = ServerClock(tmp_path)
    clock.move_to(90)
    server = RedisServer(tmp_path, *BOUNDED)
    server.environment = clock.environment
    server.start()
    try:
        report = report_of(server.url)
    finally:
        server.kill()

    assert remedies(report) == {OF_ENGINE.remedy}
    assert "ahead" in said(report)


def test_tells_a_server_that_is_not_there() -> None:
    """Without the password that was for it."""
    report = report_of(f"redis://guest:{GUEST}@127.0.0.1:{free_port()}/0")

    assert len(remedies(report)) == 1
    assert GUEST not in said(report)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Run a server with a schema."""
    with running_postgres() as server:
        init_store(server.url)
        yield server


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def test_has_nothing_against_a_postgres_as_it_should_be(postgres: PostgresServer) -> None:
    """With its version, its clock, and all rights."""
    report = report_of(postgres.url)

    assert is_good(report), said(report)
    assert "the clock of the engine says the same" in said(report)


def test_tells_a_right_that_postgres_does_not_give(postgres: PostgresServer) -> None:
    """With the statement that gives it."""
    asyncio.run(
        _execute(
            postgres.url,
            "CREATE ROLE guest LOGIN",
            "GRANT USAGE ON SCHEMA itemwire TO guest",
            "GRANT SELECT ON ALL TABLES IN SCHEMA itemwire TO guest",
        )
    )
    report = report_of(postgres.url.replace("postgres@", "guest@"))

    assert len(remedies(report)) == 1
    assert "GRANT" in said(report)


def test_tells_a_postgres_without_the_schema(postgres: PostgresServer) -> None:
    """And the command that makes it."""
    asyncio.run(_execute(postgres.url, "CREATE DATABASE bare"))
    report = report_of(f"{postgres.url.rpartition('/')[0]}/bare")

    assert len(remedies(report)) == 1
    assert "itemwire engine init" in said(report)


def test_has_nothing_against_a_nats_as_it_should_be(tmp_path: Path) -> None:
    """With JetStream."""
    with running_nats(tmp_path) as server:
        report = report_of(server.url)

    assert is_good(report), said(report)


def test_tells_a_right_that_nats_does_not_give(tmp_path: Path) -> None:
    """A user that may not publish to channels."""
    rights = "permissions: { publish: { deny: ['itemwire.>'] } }"
    users = f"authorization {{ users = [{{ user: guest, password: {GUEST}, {rights} }}] }}"
    with running_nats(tmp_path, users) as server:
        report = report_of(server.url.replace("://", f"://guest:{GUEST}@"))

    assert remedies(report), said(report)
    assert GUEST not in said(report)


def test_tells_a_nats_without_jetstream(tmp_path: Path) -> None:
    """Nothing can be stored there."""
    with running_nats(tmp_path) as server:
        server.stop()
        server.configure("", None)
        server.start()
        report = report_of(server.url)

    assert remedies(report), said(report)


def test_looks_at_the_place_of_a_file_without_opening_it(tmp_path: Path) -> None:
    """A server that runs has it for itself."""
    here, nowhere = tmp_path / "wire.db", tmp_path / "nowhere" / "wire.db"

    assert is_good(report_of(f"sqlite:///{here}"))
    assert remedies(report_of(f"sqlite:///{nowhere}")) == {"make it"}
    assert not here.exists()


def test_an_engine_in_memory_needs_nothing() -> None:
    """There is no server to ask."""
    assert is_good(report_of("memory://"))


def test_a_scheme_that_is_unknown_is_a_fault() -> None:
    """As at a start."""
    assert len(remedies(report_of("mysql://host/"))) == 1
