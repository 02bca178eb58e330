"""Engines that let a node no longer read or listen, though every connection is there.

A node that cannot hear is not ready (requirement 141): it says so within two seconds, who joins is
refused at once, and all that was missed is delivered when the right, or the table, is there again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import pytest

from itemwire.engines import read_watch, tasks
from itemwire.engines.base import ANSWER_SECONDS, EngineError
from tests.conformance.network_faults_contract import AT_ONCE_SECONDS, DEAD_SECONDS
from tests.engines.postgres.database import new_database
from tests.engines.watched import Watched, node, play
from tests.nats_server import NatsServer
from tests.postgres_server import execute, running_postgres
from tests.redis_server import RedisServer, running_redis
from tests.timing import BUSY_SECONDS


class Store(NamedTuple):
    """A store, how a node reaches it, and the server that has it."""

    url: str
    admin_url: str
    server: object


Fault = Callable[[Store], AbstractAsyncContextManager[None]]


def redis_with(begin: str, end: str) -> Fault:
    """Change the rights of a Redis user, and end its connections as its operator would."""

    @contextlib.asynccontextmanager
    async def state(store: Store) -> AsyncIterator[None]:
        server = store.server
        assert isinstance(server, RedisServer)
        assert server.ask(f"ACL SETUSER node {begin}").startswith(b"+OK")
        server.ask("CLIENT KILL TYPE pubsub")
        yield
        assert server.ask(f"ACL SETUSER node {end}").startswith(b"+OK")

    return state


def postgres_with(begin: str, end: str) -> Fault:
    """Run a statement, and one that undoes it."""

    @contextlib.asynccontextmanager
    async def state(store: Store) -> AsyncIterator[None]:
        await execute(store.admin_url, begin)
        yield
        await execute(store.admin_url, end)

    return state


@contextlib.asynccontextmanager
async def locked_table(store: Store) -> AsyncIterator[None]:
    """Lock a table as VACUUM FULL does, or a change of its columns."""
    connection = await asyncpg.connect(store.admin_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE itemwire.messages IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


def allowed(rights: str = "") -> str:
    """Write a NATS configuration with a user of these rights."""
    return f"authorization {{ users = [{{ user: node, password: node, {rights} }}] }}"


def nats_with(rights: str) -> Fault:
    """Give a NATS user fewer rights while it is connected."""

    @contextlib.asynccontextmanager
    async def state(store: Store) -> AsyncIterator[None]:
        assert isinstance(store.server, NatsServer)
        store.server.reload(allowed(f"permissions: {{ {rights} }}"))
        yield
        store.server.reload(allowed())

    return state


@pytest.fixture(autouse=True)
def tried_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a node that cannot hear try again soon: else it is waited for, in each test."""
    monkeypatch.setattr(read_watch, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(tasks, "LONGEST_PAUSE", 0.2)


class Row(NamedTuple):
    """An engine, and what it is put into."""

    engine: str
    fault: Fault
    attempt_seconds: float = 0.0  # that one to be heard takes, where nobody answers it


ROWS: Final = {
    "redis-subscribe": Row("redis", redis_with("-subscribe", "+subscribe")),
    "redis-channels": Row("redis", redis_with("resetchannels", "allchannels")),
    "redis-scripts": Row("redis", redis_with("-evalsha -eval", "+evalsha +eval")),
    "redis-streams": Row("redis", redis_with("-xrange -xrevrange", "+xrange +xrevrange")),
    "redis-keys": Row("redis", redis_with("resetkeys", "allkeys")),
    "postgresql-messages": Row(
        "postgresql",
        postgres_with(
            "REVOKE SELECT ON itemwire.messages FROM node",
            "GRANT SELECT ON itemwire.messages TO node",
        ),
    ),
    "postgresql-notices": Row(
        "postgresql",
        postgres_with(
            "REVOKE SELECT ON itemwire.notices FROM node",
            "GRANT SELECT ON itemwire.notices TO node",
        ),
    ),
    "postgresql-schema": Row(
        "postgresql",
        postgres_with(
            "ALTER SCHEMA itemwire RENAME TO elsewhere", "ALTER SCHEMA elsewhere RENAME TO itemwire"
        ),
    ),
    "postgresql-table": Row(
        "postgresql",
        postgres_with(
            "ALTER TABLE itemwire.messages RENAME TO elsewhere",
            "ALTER TABLE itemwire.elsewhere RENAME TO messages",
        ),
    ),
    "postgresql-column": Row(
        "postgresql",
        postgres_with(
            "ALTER TABLE itemwire.channels RENAME COLUMN epoch TO elsewhere",
            "ALTER TABLE itemwire.channels RENAME COLUMN elsewhere TO epoch",
        ),
    ),
    "postgresql-locked": Row("postgresql", locked_table, ANSWER_SECONDS),
    "nats-live": Row("nats", nats_with("subscribe: { deny: 'itemwire.live.*' }")),
    "nats-notices": Row("nats", nats_with("subscribe: { deny: 'itemwire.told' }")),
    "nats-inbox": Row("nats", nats_with("subscribe: { deny: '_INBOX.>' }"), ANSWER_SECONDS),
    "nats-stored": Row(
        "nats",
        nats_with("publish: { deny: ['$JS.API.STREAM.MSG.GET.*', '$JS.API.DIRECT.GET.>'] }"),
    ),
}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Run a server for the tests of this file, with a user for nodes."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        server.ask("ACL SETUSER node on >node allkeys allchannels +@all")
        yield Store(server.url.replace("://", "://node:node@"), server.url, server)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Store]:
    """Run a server for the tests of this file; its user for nodes owns nothing."""
    with running_postgres() as server:
        url = new_database(server)
        for statement in (
            "CREATE ROLE node LOGIN",
            "GRANT USAGE ON SCHEMA itemwire TO node",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA itemwire TO node",
        ):
            asyncio.run(execute(url, statement))
        yield Store(url.replace("postgres@", "node@"), url, server)


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Run a server for the tests of this file, with a user for nodes."""
    server = NatsServer(tmp_path_factory.mktemp("nats"), allowed())
    server.start()
    try:
        yield Store(server.url.replace("://", "://node:node@"), server.url, server)
    finally:
        server.kill()


async def until_deaf(watched: Watched) -> None:
    """Ask what a node asks all the time, and its clients, until it knows that it is deaf.

    None who reads is told that asking again does not help: others, and later, it does.
    """
    begun = time.monotonic()
    refusals = []
    while watched.engine.is_available:
        try:
            await watched.read()
        except EngineError as error:
            refusals.append(error.fault.refusal)
        with contextlib.suppress(EngineError):
            await watched.post(b"a sign of life")
        assert time.monotonic() - begun < 2 * DEAD_SECONDS + BUSY_SECONDS
    assert all(refusal.is_temporary for refusal in refusals)


async def stays_deaf(watched: Watched, attempt_seconds: float) -> None:
    """See that it is so for longer than from one attempt to be heard to the next."""
    begun = time.monotonic()
    until = begun + attempt_seconds + tasks.LONGEST_PAUSE + read_watch.PROBE_SECONDS
    while time.monotonic() < until:
        await asyncio.sleep(0.01)
        assert not watched.engine.is_available


@pytest.mark.server
@pytest.mark.parametrize("name", ROWS)
def test_a_node_that_may_not_hear_is_not_ready_until_it_may(
    name: str, request: pytest.FixtureRequest
) -> None:
    """And it answers whoever joins meanwhile at once."""
    row = ROWS[name]
    store: Store = request.getfixturevalue(row.engine)

    async def scene() -> None:
        async with node(store.url) as one, node(store.url) as other:
            await one.publish(f"{name} before")
            await other.until(lambda: other.texts[-1:] == [f"{name} before"])
            async with row.fault(store):
                await until_deaf(one)
                begun = time.monotonic()
                with pytest.raises(EngineError):
                    await one.subscribe(f"item:{name}")
                assert time.monotonic() - begun < AT_ONCE_SECONDS
                await stays_deaf(one, row.attempt_seconds)
            await one.until(lambda: one.engine.is_available)
            await other.until(lambda: other.engine.is_available)
            await one.publish_at_last(f"{name} after")
            await other.until(lambda: other.texts[-1] == f"{name} after")
            await one.subscribe(f"item:{name}")
            other.check()

            assert other.losses == []

    play(scene)


@pytest.mark.server
@pytest.mark.parametrize("lost", ["EVALSHA", "XREVRANGE"])
def test_a_server_that_comes_back_without_a_command_is_not_ready(
    lost: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Renamed by its operator, or put behind a proxy: the node stayed ready, and read nothing."""

    async def scene() -> None:
        with running_redis(tmp_path) as server:
            async with node(server.url) as one:
                server.kill()
                server.options = ("--rename-command", lost, "")
                server.start()
                begun = time.monotonic()
                while "engine_unreadable" not in caplog.text:
                    assert time.monotonic() - begun < 2 * DEAD_SECONDS + BUSY_SECONDS
                    with contextlib.suppress(EngineError):
                        await one.read()
                    await asyncio.sleep(0.01)
                await stays_deaf(one, 0)
                server.kill()
                server.options = ()
                server.start()
                await one.until(lambda: one.engine.is_available)

    play(scene)
    assert "lacks what Itemwire needs" in caplog.text
