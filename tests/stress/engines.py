"""The servers that nodes share under stress: one row each, and what can be done to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from itemwire.engines.postgres.engine import init_store
from tests.engine_process import running_engine
from tests.nats_server import purge, running_nats
from tests.postgres_server import TERMINATE, drop_store, execute, running_postgres
from tests.proxy import Proxy
from tests.redis_server import RedisServer, running_redis


class Process(Protocol):
    """A server's process: it always comes back on the same port."""

    @property
    def port(self) -> int:
        """Give the port that it listens on."""
        ...

    @property
    def url(self) -> str:
        """Give the URL that leads to it."""
        ...

    def start(self) -> None:
        """Start it, and wait until it answers."""
        ...

    def kill(self) -> None:
        """End it as a crash does."""
        ...

    def stop(self) -> None:
        """End it in order, as for an ordinary restart."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Let it do nothing while this is entered."""
        ...


def cannot() -> None:
    """Refuse what a server takes no part in."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineServer:
    """A server of this machine that nodes share; by default it takes part in no such fault."""

    process: Process
    terminate: Callable[[], object] | None = None  # end the connections of all nodes
    is_durable: bool  # what was stored is there when it was killed and comes back
    is_proxied: bool = True  # one port leads to all of it
    empty: Callable[[], object] = cannot  # while it serves
    copy: Callable[[], object] = cannot  # copy what it has; it may end and start for that
    put_back: Callable[[], object] = cannot  # start it on the copy
    path: str = ""  # of its socket, if it has no port

    def proxy(self) -> Proxy:
        """Make a proxy that leads to it."""
        return Proxy(self.path or self.process.port)

    def url_by(self, proxy: Proxy) -> str:
        """Give the URL that leads to it by a proxy."""
        if self.path:
            return self.process.url.replace(self.path, proxy.path)
        return self.process.url.replace(f":{self.process.port}", f":{proxy.port}")


def _restart(process: Process, between: Callable[[], object] | None = None) -> None:
    process.kill()
    if between is not None:
        between()
    process.start()


@contextmanager
def on_redis(folder: Path) -> Iterator[EngineServer]:
    """Run one that keeps nothing on disk."""
    with running_redis(folder) as process:
        yield EngineServer(
            process=process,
            is_durable=False,
            empty=partial(_flush, process),
            terminate=partial(_kill_clients, process),
            copy=lambda: process.ask("SAVE"),
            put_back=lambda: _restart(process),
        )


def _flush(server: RedisServer) -> None:
    assert server.ask("FLUSHALL").startswith(b"+OK")


def _kill_clients(server: RedisServer) -> None:
    for kind in ("normal", "pubsub"):
        assert server.ask("CLIENT", "KILL", "TYPE", kind).startswith(b":")


@contextmanager
def on_postgres(folder: Path) -> Iterator[EngineServer]:
    """Run one with the schema in it."""
    with running_postgres() as process:
        init_store(process.url)
        copy = folder / "copy"
        yield EngineServer(
            process=process,
            is_durable=True,
            empty=partial(_make_anew, process.url),
            terminate=partial(_terminate, process.url),
            copy=lambda: _restart(process, lambda: process.copy_to(copy)),
            put_back=lambda: _restart(process, lambda: process.put_back(copy)),
        )


def _terminate(url: str) -> None:
    asyncio.run(execute(url, TERMINATE))


def _make_anew(url: str) -> None:
    asyncio.run(drop_store(url))
    init_store(url)


@contextmanager
def on_nats(folder: Path) -> Iterator[EngineServer]:
    """Run one that answers when the disk has it."""
    with running_nats(folder, jetstream="sync_interval: always") as process:
        process.url += "?sync=always"
        copy = folder / "copy"
        yield EngineServer(
            process=process,
            is_durable=True,
            empty=lambda: purge(process.url),
            copy=lambda: _restart(process, lambda: process.copy_to(copy)),
            put_back=lambda: _restart(process, lambda: process.put_back(copy)),
        )


@contextmanager
def on_unix(folder: Path) -> Iterator[EngineServer]:
    """Run the process that workers share, with everything in its memory."""
    with running_engine(folder) as process:
        yield EngineServer(
            process=process,
            path=process.path,
            is_durable=False,
            empty=partial(_restart, process),
            copy=lambda: None,
            put_back=partial(_restart, process),
        )


class BehindProcess:
    """A server that nodes reach by a process of workers: what is done is done to the server."""

    port = 0  # the process has a socket

    def __init__(self, server: Process, url: str) -> None:
        self.server = server
        self.url = url
        self.start, self.kill, self.stop = server.start, server.kill, server.stop
        self.paused = server.paused


@contextmanager
def on_redis_by_process(folder: Path) -> Iterator[EngineServer]:
    """Run a server, and before it the process that workers of one machine share."""
    place = folder / "process"
    place.mkdir()
    with on_redis(folder) as redis, running_engine(place, redis.process.url) as process:
        yield replace(redis, process=BehindProcess(redis.process, process.url), path=process.path)


ENGINE_SERVERS: Final[dict[str, Callable[[Path], AbstractContextManager[EngineServer]]]] = {
    "nats": on_nats,
    "postgresql": on_postgres,
    "redis": on_redis,
    "unix": on_unix,
}
"""Each is given an empty folder, and runs for as long as it is entered."""
