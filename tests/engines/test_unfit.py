"""Engines that are there and will never do: found at the start, told from those that may come."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from itemwire.engines import init_store, open_engine
from itemwire.engines.base import EngineError, Sink, UnfitEngine
from tests.conftest import SECRET
from tests.fakes import BOUNDS
from tests.nats_server import NatsServer
from tests.pooler import pooled
from tests.postgres_server import running_postgres
from tests.redis_server import RedisServer, running_cluster, running_redis

pytestmark = pytest.mark.server

Place = Callable[[Path], AbstractContextManager[str]]


@contextmanager
def pooler_of_transactions(_folder: Path) -> Iterator[str]:
    """Put a pooler in transaction mode before a server."""
    with running_postgres() as server:
        init_store(server.url)
        with pooled(server.port) as url:
            yield url


@contextmanager
def pooler_of_one(_folder: Path) -> Iterator[str]:
    """Let it have a single connection to the server."""
    with running_postgres() as server:
        init_store(server.url)
        with pooled(server.port, size=1) as url:
            yield url


@contextmanager
def pooler_of_sessions(_folder: Path) -> Iterator[str]:
    """Put a pooler in session mode before a server."""
    with running_postgres() as server:
        init_store(server.url)
        with pooled(server.port, "session") as url:
            yield url


@contextmanager
def node_of_a_cluster(folder: Path) -> Iterator[str]:
    """Name one server of a cluster as if it were alone."""
    with running_cluster(folder) as servers:
        yield servers[0].url


@contextmanager
def alone_as_a_cluster(folder: Path) -> Iterator[str]:
    """Name one server as if it were a cluster."""
    with running_redis(folder) as server:
        yield f"redis+cluster://127.0.0.1:{server.port}"


def without(*commands: str) -> Place:
    """Run a server that lacks commands, as some proxies do."""
    options = [word for command in commands for word in ("--rename-command", command, "")]

    @contextmanager
    def run(folder: Path) -> Iterator[str]:
        with running_redis(folder, *options) as server:
            yield server.url

    return run


@contextmanager
def replica(folder: Path) -> Iterator[str]:
    """Run a replica, which may be promoted."""
    with running_redis(folder) as primary, running_redis(folder) as follower:
        follower.follow(primary)
        yield follower.url


@contextmanager
def without_jetstream(folder: Path) -> Iterator[str]:
    """Run a server without JetStream, which says no more than one that chooses a leader."""
    server = NatsServer(folder, jetstream=None)
    server.start()
    try:
        yield server.url
    finally:
        server.kill()


def redis_with(rest: str) -> Place:
    """Name a server, and behind it a database and options that it may not have."""

    @contextmanager
    def run(folder: Path) -> Iterator[str]:
        with running_redis(folder) as server:
            yield f"redis://127.0.0.1:{server.port}/{rest}"

    return run


def postgres_with(option: str) -> Place:
    """Name a server with an option, a wrong or a right one."""

    @contextmanager
    def run(_folder: Path) -> Iterator[str]:
        with running_postgres() as server:
            init_store(server.url)
            yield f"{server.url}?{option}"

    return run


@contextmanager
def away(_folder: Path) -> Iterator[str]:
    """Name a port on which nobody listens."""
    yield "redis://127.0.0.1:9/0"


NEVER: Final[dict[str, tuple[Place, str]]] = {
    "pooler_of_transactions": (pooler_of_transactions, "pool_mode=session"),
    "pooler_of_one": (pooler_of_one, "pool_mode=session"),
    "node_of_a_cluster": (node_of_a_cluster, r"use redis\+cluster://"),
    "alone_as_a_cluster": (alone_as_a_cluster, "use redis://"),
    "no_channels": (without("SUBSCRIBE", "UNSUBSCRIBE"), "lacks what Itemwire needs"),
    "no_scripts": (without("EVAL"), "lacks what Itemwire needs"),
    "no_info": (without("INFO"), "lacks what Itemwire needs"),
    "no_database": (redis_with("999"), "ITEMWIRE_ENGINE_URL: .* out of range"),
    "no_client_name": (redis_with("0?client_name=a%20b"), "ITEMWIRE_ENGINE_URL: Client names"),
    "no_mode": (postgres_with("sslmode=wat"), "ITEMWIRE_ENGINE_URL: .*must be one of"),
    "no_certificate": (postgres_with("sslmode=verify-full"), "ITEMWIRE_ENGINE_URL: root cert"),
    "no_option": (postgres_with("wat=1"), 'ITEMWIRE_ENGINE_URL: .* "wat"'),
    "no_value": (postgres_with("statement_timeout=wat"), "ITEMWIRE_ENGINE_URL: invalid value"),
}

NOT_NOW: Final[dict[str, tuple[Place, str]]] = {
    "replica": (replica, "is a replica"),
    "without_jetstream": (without_jetstream, "JetStream is away, or is not enabled"),
    "away": (away, "cannot use redis://127.0.0.1:9/0"),
}


def start(url: str) -> None:
    """Start an engine, and stop it."""

    async def play() -> None:
        engine = open_engine(url, BOUNDS)
        try:
            await engine.start(Sink())
            assert engine.is_available
        finally:
            await engine.stop()

    asyncio.run(play())


@pytest.mark.parametrize("name", NEVER)
def test_an_engine_that_never_comes_right_is_told_as_such(name: str, tmp_path: Path) -> None:
    """Ready behind such a pooler, a node heard nothing, and history was never pruned."""
    place, why = NEVER[name]

    with place(tmp_path) as url, pytest.raises(UnfitEngine, match=why) as refused:
        start(url)

    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", NOT_NOW)
def test_an_engine_that_may_come_right_is_told_as_such(name: str, tmp_path: Path) -> None:
    """The twin: a supervisor does well to start it again."""
    place, why = NOT_NOW[name]

    with place(tmp_path) as url, pytest.raises(EngineError, match=why) as refused:
        start(url)

    assert not isinstance(refused.value, UnfitEngine)


@pytest.mark.parametrize(
    "place",
    [redis_with("1?client_name=a"), postgres_with("application_name=a&sslmode=prefer")],
    ids=["redis", "postgres"],
)
def test_options_that_the_server_takes_are_taken(place: Place, tmp_path: Path) -> None:
    """The twin of the wrong ones."""
    with place(tmp_path) as url:
        start(url)


def test_a_pooler_of_sessions_is_as_good_as_the_server(tmp_path: Path) -> None:
    """It too says another number of its process than the server does."""
    with pooler_of_sessions(tmp_path) as url:
        start(url)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("place", "status"), [(without("EVAL"), 78), (away, 3)])
def test_the_status_says_whether_to_start_again(
    place: Place, status: int, workers: str, tmp_path: Path
) -> None:
    """A supervisor leaves out 78, and one line says what to do."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ITEMWIRE_")}
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
    with place(tmp_path) as url:
        own |= {"ITEMWIRE_SECRET": SECRET, "ITEMWIRE_ENGINE_URL": url, "ITEMWIRE_WORKERS": workers}
        ended = subprocess.run(
            command, env=own, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert ended.returncode == status
    assert "cannot use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_servers_of_redis_that_lack_nothing_start(tmp_path: Path) -> None:
    """The twin of all that lack something."""
    server = RedisServer(tmp_path)
    server.start()
    try:
        start(server.url)
    finally:
        server.kill()
