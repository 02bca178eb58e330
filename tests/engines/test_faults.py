"""What each engine makes of the errors that real servers and libraries raise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ResponseError

from itemwire.close_reasons import Retry
from itemwire.engines.base import EngineError
from itemwire.engines.faults import (
    AWAY,
    DAMAGED,
    DEGRADING,
    FAILING,
    FORBIDDEN,
    FULL,
    READ_ONLY,
    SILENT,
    TOO_BIG,
    UNKNOWN,
    EngineFault,
    Readiness,
)
from itemwire.engines.nats.faults import NatsViolation, fault_of_silence
from itemwire.engines.nats.faults import fault_of as fault_of_jetstream
from itemwire.engines.redis.faults import refusal_of as refusal_of_redis
from itemwire.engines.sqlite.faults import refusal_of as refusal_of_sqlite
from itemwire.main import create_app
from itemwire.testing.servers import live_application
from tests.engines.watched import node, play
from tests.nats_server import running_nats
from tests.redis_server import RedisServer, running_redis
from tests.test_startup_checks import settings_of


def test_a_fault_that_degrades_leaves_its_caller_a_verdict() -> None:
    """Whether asking again helps is the close reason's own verdict."""
    assert {fault.readiness for fault in DEGRADING} == {Readiness.DEGRADED}
    assert {fault.name: fault.refusal.retry for fault in DEGRADING} == {
        "full": Retry.LATER,
        "read_only": Retry.LATER,
        "failing": Retry.LATER,
        "unprepared": Retry.LATER,
        "silent": Retry.LATER,
        "forbidden": Retry.NEVER,
        "damaged": Retry.NEVER,
        "part_away": Retry.LATER,
    }


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", FULL),
        ("ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed", FULL),
        ("MISCONF Errors writing to the AOF file: No space left on device", FAILING),
        ("NOREPLICAS Not enough good replicas to write.", READ_ONLY),
        ("NOPERM this user has no permissions to run the 'set' command", FORBIDDEN),
        ("ERR ACL failure in script: User x has no permissions to run 'hset'", FORBIDDEN),
        ("ERR The user executing the script can't run this command or subcommand", FORBIDDEN),
        ("READONLY You can't write against a read only replica.", AWAY),
        ("MASTERDOWN Link with MASTER is down", AWAY),
        ("CLUSTERDOWN The cluster is down", AWAY),
        ("BUSY Valkey is busy running a script.", UNKNOWN),
        ("ERR syntax error", UNKNOWN),
    ],
)
def test_tells_what_redis_says(reply: str, fault: EngineFault) -> None:
    """By what redis-py makes of the words on the wire."""
    error: object = BaseParser.parse_error(reply)  # type: ignore[no-untyped-call] # redis-py's
    assert isinstance(error, ResponseError)

    assert refusal_of_redis(error).fault is fault


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (10047, FULL),
        (10023, FULL),
        (10077, FULL),
        (10054, TOO_BIG),
        (10008, AWAY),
        (10109, READ_ONLY),
        (10118, AWAY),
        (10071, UNKNOWN),
    ],
)
def test_tells_what_jetstream_says(code: int, fault: EngineFault) -> None:
    """By the number of its error."""
    assert fault_of_jetstream(code) is fault


def test_tells_why_jetstream_is_silent() -> None:
    """A server that answers later requests is there."""
    assert fault_of_silence(is_passed_over=True) is SILENT
    assert fault_of_silence(is_passed_over=False) is UNKNOWN


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ('Permissions Violation for Publish to "itemwire.c.X"', (True, "itemwire.c.x")),
        ('nats: permissions violation for subscription to "a.b"', (False, "a.b")),
        ("'Authorization Violation'", None),
    ],
)
def test_reads_what_nats_does_not_allow(told: str, expected: tuple[bool, str] | None) -> None:
    """A user that may not publish there gets no answer; the connection is told the subject."""
    assert NatsViolation.read(told) == expected


def sqlite_error(path: Path, statement: str = "INSERT INTO t VALUES (1)") -> sqlite3.Error:
    """Return what a file raises."""
    connection = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.Error) as raised:
        connection.execute(statement)
    connection.close()
    return raised.value


@pytest.mark.server
def test_tells_what_a_file_is_worth(tmp_path: Path) -> None:
    """By what SQLite says of real files: one that is none, cut off, locked, and closed."""
    path = tmp_path / "itemwire.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 100)
    connection.commit()
    connection.execute("BEGIN EXCLUSIVE")
    locked = sqlite_error(path)
    connection.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x05" * (len(whole) - 4096))
    damaged = sqlite_error(path)
    path.write_bytes(b"no database" * 1000)
    foreign = sqlite_error(path)
    with pytest.raises(sqlite3.Error) as closed:
        connection.execute("SELECT 1")

    found = [refusal_of_sqlite(one).fault for one in (locked, damaged, foreign, closed.value)]
    assert found == [FAILING, DAMAGED, DAMAGED, FAILING]
    assert refusal_of_sqlite(RuntimeError("a mistake")).fault is UNKNOWN


@pytest.mark.server
def test_a_server_that_is_loading_is_red(tmp_path: Path) -> None:
    """It tells who it is, and would refuse everything else until it has read what it kept."""
    slow = ("--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024")
    with running_redis(tmp_path, "--save", "3600 1", *slow) as server:

        async def scene() -> None:
            async with node(server.url) as one:
                for number in range(20):
                    await one.put(f"{number}", os.urandom(2000))
                await asyncio.to_thread(server.ask, "SAVE")
                await asyncio.to_thread(server.kill)
                await one.until(lambda: not one.engine.is_available)
                starting = asyncio.create_task(asyncio.to_thread(server.start))
                await one.until(lambda: is_loading(server))
                with pytest.raises(EngineError):
                    await one.publish("too early")
                assert not one.engine.is_available
                await one.until(lambda: one.engine.is_available)
                assert not is_loading(server)
                await starting
                await one.publish("in time")

        play(scene)


def is_loading(server: RedisServer) -> bool:
    """Return whether a server has begun, and not read all that it kept."""
    with contextlib.suppress(OSError):
        return b"LOADING" in server.ask("PING")
    return False


@pytest.mark.server
def test_a_server_that_became_a_replica_is_red(tmp_path: Path) -> None:
    """What it takes would be lost: the server that took over is to be found."""
    with running_redis(tmp_path) as server:

        async def scene() -> None:
            async with node(server.url) as one:
                await one.publish("before")
                await asyncio.to_thread(server.ask, "REPLICAOF", "127.0.0.1", 1)
                with pytest.raises(EngineError):
                    await one.publish("in vain")
                await one.until(lambda: not one.engine.is_available)
                await asyncio.to_thread(server.ask, "REPLICAOF", "NO", "ONE")
                await one.until(lambda: one.engine.is_available)
                await one.publish_at_last("after")

        play(scene)


@pytest.mark.server
@pytest.mark.parametrize(("allowed", "is_told"), [(28_672, False), (28_673, True)])
def test_a_bound_below_the_settings_is_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, allowed: int, *, is_told: bool
) -> None:
    """Trying again would never help, and who publishes cannot know of it before."""
    with running_nats(tmp_path, "max_payload: 32KB") as server:
        settings = settings_of(engine_url=server.url, max_message_bytes=allowed)
        with live_application(create_app(settings)):
            pass

    assert ("engine_takes_less most_bytes=28672" in caplog.text) is is_told


@pytest.mark.server
def test_a_message_that_the_server_never_takes(tmp_path: Path) -> None:
    """Smaller ones are taken, so the engine is as good as before."""
    with running_nats(tmp_path, "max_payload: 32KB") as server:

        async def scene() -> None:
            async with node(server.url) as one:
                with pytest.raises(EngineError) as refused:
                    await one.publish("x" * 40_000)
                assert refused.value.fault is TOO_BIG
                assert (await one.publish("small")).offset == 1

        play(scene)
