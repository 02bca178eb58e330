"""The servers that nodes share under stress: one row each, and what can be done to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from itemwire.engines.postgres.engine import init_store
from tests.nats_server import purge, running_nats
from tests.postgres_server import TERMINATE, execute, running_postgres
from tests.redis_server import RedisServer, running_redis


class Process(Protocol):
    """A server's process: it always comes back on the same port."""

    port: int

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


@dataclass(frozen=True, slots=True)
class EngineServer:
    """A server of this machine that nodes share."""

    process: Process
    empty: Callable[[], None]  # while it serves
    terminate: Callable[[], None] | None  # end the connections of all nodes, if it can be told to
    is_durable: bool  # what was stored is there when it was killed and comes back

    def url_at(self, port: int) -> str:
        """Give the URL that leads to it by another port."""
        return self.process.url.replace(f":{self.process.port}", f":{port}")


@contextmanager
def on_redis(folder: Path) -> Iterator[EngineServer]:
    """Run one that keeps nothing on disk."""
    with running_redis(folder) as process:
        empty, terminate = partial(_flush, process), partial(_kill_clients, process)
        yield EngineServer(process, empty, terminate, is_durable=False)


def _flush(server: RedisServer) -> None:
    assert server.ask("FLUSHALL").startswith(b"+OK")


def _kill_clients(server: RedisServer) -> None:
    for kind in ("normal", "pubsub"):
        assert server.ask("CLIENT", "KILL", "TYPE", kind).startswith(b":")


@contextmanager
def on_postgres(_folder: Path) -> Iterator[EngineServer]:
    """Run one with the schema in it."""
    with running_postgres() as process:
        init_store(process.url)
        empty, terminate = partial(_make_anew, process.url), partial(_terminate, process.url)
        yield EngineServer(process, empty, terminate, is_durable=True)


def _terminate(url: str) -> None:
    asyncio.run(execute(url, TERMINATE))


def _make_anew(url: str) -> None:
    drop = "DROP SCHEMA itemwire CASCADE; DROP FUNCTION public.itemwire_publish"
    for statement in drop.split("; "):
        asyncio.run(execute(url, statement))
    init_store(url)


@contextmanager
def on_nats(folder: Path) -> Iterator[EngineServer]:
    """Run one that answers when the disk has it."""
    with running_nats(folder, jetstream="sync_interval: always") as process:
        process.url += "?sync=always"
        yield EngineServer(process, partial(purge, process.url), None, is_durable=True)


ENGINE_SERVERS: Final[dict[str, Callable[[Path], AbstractContextManager[EngineServer]]]] = {
    "nats": on_nats,
    "postgresql": on_postgres,
    "redis": on_redis,
}
"""Each is given an empty folder, and runs for as long as it is entered."""
