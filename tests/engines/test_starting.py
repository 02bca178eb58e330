"""Nodes that start together with the server of their engine, which has yet to begin."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from itemwire.engines import networked, open_engine
from itemwire.engines.postgres.engine import init_store
from tests.engines.redis.test_start import refusal_of
from tests.engines.watched import node, play
from tests.fakes import BOUNDS
from tests.nats_server import running_trio
from tests.postgres_server import running_postgres
from tests.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.server

KEYS: Final = 80  # each of which takes a tenth of a second to be read, unless told otherwise
SLOW: Final = ("--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024")


class Starting(NamedTuple):
    """A server that has begun, and does not serve before `go`."""

    url: str
    go: Callable[[], None]
    reason: str  # a pattern of what a node tells that has waited in vain


@contextlib.contextmanager
def loading_redis(folder: Path) -> Iterator[Starting]:
    """Run one that reads what it kept."""
    with running_redis(folder, "--save", "3600 1", *SLOW) as server:
        for number in range(KEYS):
            server.ask("SET", number, "x" * 2000)
        server.ask("CONFIG", "SET", "rdbcompression", "no")
        server.ask("SAVE")
        server.kill()
        with _in_background(server.start):
            _wait_for(lambda: _is_loading(server))

            def go() -> None:
                server.ask("CONFIG", "SET", "key-load-delay", 0)

            try:
                yield Starting(server.url, go, "loading the dataset")
            finally:
                go()


@contextlib.contextmanager
def recovering_postgres(_folder: Path) -> Iterator[Starting]:
    """Run one that lets nobody in: it follows another server, until it takes over."""
    with running_postgres("-F", "-c", "hot_standby=off") as server:
        init_store(server.url)
        server.stop()
        with _in_background(server.start_as_replica):
            _wait_for(lambda: server.is_rejecting)
            try:
                yield Starting(server.url, server.promote, "the database system is")
            finally:
                if server.is_rejecting:
                    server.promote()


@contextlib.contextmanager
def unled_nats(folder: Path) -> Iterator[Starting]:
    """Run one of a cluster's three servers: two of them decide who leads."""
    with running_trio(folder) as servers:
        for server in servers[1:]:
            server.kill()

        def go() -> None:
            for server in servers[1:]:
                server.start()

        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        # The server that is left answers for as long as it takes itself for the leader.
        yield Starting(
            f"nats://{hosts}?replicas=3",
            go,
            "temporarily unavailable|no answer yet|not answer in time",
        )


STARTING: Final = [
    pytest.param(loading_redis, id="redis"),
    pytest.param(recovering_postgres, id="postgresql"),
    pytest.param(unled_nats, id="nats"),
]


@pytest.mark.parametrize("starting", STARTING)
def test_nodes_wait_for_a_server_that_starts(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    starting: Callable[[Path], contextlib.AbstractContextManager[Starting]],
) -> None:
    """Several at once, as after a loss of power; a line says what each waits for (141)."""

    async def scene(server: Starting) -> None:
        async def come_up() -> None:
            async with node(server.url) as one:
                assert one.engine.is_available
                await one.publish_at_last("in time")

        nodes = [asyncio.create_task(come_up()) for _ in range(2)]
        while caplog.text.count("engine_starting") < len(nodes):  # noqa: ASYNC110 - there is no one event
            await asyncio.sleep(0.01)
        assert not any(one.done() for one in nodes)
        await asyncio.to_thread(server.go)
        await asyncio.gather(*nodes)

    with starting(tmp_path) as server:
        play(lambda: scene(server))

    assert re.search(server.reason, caplog.text)


@pytest.mark.parametrize("starting", STARTING)
def test_a_server_that_never_begins_is_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    starting: Callable[[Path], contextlib.AbstractContextManager[Starting]],
) -> None:
    """The node ends, and says why (141)."""
    monkeypatch.setattr(networked, "CONNECT_SECONDS", 2.0)
    with starting(tmp_path) as server:
        problem = refusal_of(open_engine(server.url, BOUNDS))

    assert problem.startswith("cannot use ")
    assert re.search(server.reason, problem)
    assert "\n" not in problem


def _is_loading(server: RedisServer) -> bool:
    with contextlib.suppress(OSError):
        return b"LOADING" in server.ask("PING")
    return False


def _wait_for(is_so: Callable[[], bool]) -> None:
    """Look again and again: it is another process that changes."""
    looked = threading.Event()
    for _ in range(2000):
        if is_so():
            return
        looked.wait(0.01)
    raise AssertionError("it has not come to that")


@contextlib.contextmanager
def _in_background(start: Callable[[], None]) -> Iterator[None]:
    """Start a server, which is waited for only in the end."""
    starter = threading.Thread(target=start)
    starter.start()
    try:
        yield
    finally:
        starter.join()
