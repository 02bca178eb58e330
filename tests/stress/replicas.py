"""Servers of several processes, which nodes share under stress: one row each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from itemwire.engines.postgres.engine import init_store
from tests.nats_server import NatsServer, leader_of, running_trio, until_whole
from tests.postgres_server import PostgresServer, running_postgres
from tests.redis_server import RedisServer, Together, running_redis, running_shards
from tests.stress.engines import ENGINE_SERVERS, EngineServer, Process, on_redis_by_process
from tests.stress.machines import MACHINES

P = TypeVar("P", bound=Process)


class Pair(Generic[P]):
    """A primary and its replica, which may take turns: its port is that of the primary."""

    def __init__(
        self,
        primary: P,
        replica: P,
        promote: Callable[[P], object],
        rejoin: Callable[[P, P], object],
    ) -> None:
        self.primary = primary
        self.replica = replica
        self._promote = promote
        self._rejoin = rejoin
        rejoin(replica, primary)

    @property
    def port(self) -> int:
        """Give the port of the one that takes writes."""
        return self.primary.port

    @property
    def url(self) -> str:
        """Give the URL that leads to it."""
        return self.primary.url

    def start(self) -> None:
        """Start the primary."""
        self.primary.start()

    def kill(self) -> None:
        """End the primary as a crash does."""
        self.primary.kill()

    def stop(self) -> None:
        """End the primary in order."""
        self.primary.stop()

    def paused(self) -> AbstractContextManager[None]:
        """Let the primary do nothing while this is entered."""
        return self.primary.paused()

    def promote(self) -> None:
        """Let the replica take writes; the primary goes on as before, and they part."""
        self._promote(self.replica)
        self.primary, self.replica = self.replica, self.primary

    def rejoin(self) -> None:
        """Let the one that was the primary follow the other one, and lose what only it has."""
        self._rejoin(self.replica, self.primary)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairServer(EngineServer):
    """A pair that nodes share."""

    pair: Pair[RedisServer] | Pair[PostgresServer]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterServer(EngineServer):
    """A cluster that nodes share, each node with all of its addresses."""

    servers: list[NatsServer]

    def leader(self) -> NatsServer:
        """Find the server that decides what is stored."""
        name = asyncio.run(leader_of(self.process.url, "itemwire"))
        return next(server for server in self.servers if str(server.port) == name)

    def wait_until_whole(self) -> None:
        """Wait until every server has all that is stored: without one more it would be lost."""
        asyncio.run(until_whole(self.process.url))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardsServer(EngineServer):
    """Servers that know nothing of each other, and that nodes share."""

    servers: list[RedisServer]


@contextmanager
def on_redis_shards(folder: Path) -> Iterator[ShardsServer]:
    """Run three that keep nothing on disk."""
    with running_shards(folder) as servers:
        process = Together(servers)
        yield ShardsServer(process=process, is_durable=False, is_proxied=False, servers=servers)


@contextmanager
def on_redis_pair(folder: Path) -> Iterator[PairServer]:
    """Run two that keep nothing on disk."""
    with ExitStack() as stack:
        parts = [folder / name for name in ("one", "two")]
        for part in parts:
            part.mkdir()
        quickly = ("--repl-diskless-sync-delay", "0")
        one, two = [stack.enter_context(running_redis(part, *quickly)) for part in parts]
        pair = Pair(one, two, lambda replica: replica.ask("REPLICAOF", "NO", "ONE"), _follow)
        yield PairServer(process=pair, is_durable=False, pair=pair)


def _follow(replica: RedisServer, primary: RedisServer) -> None:
    if not replica.is_running:
        replica.start()
    replica.follow(primary)


@contextmanager
def on_postgres_pair(_folder: Path) -> Iterator[PairServer]:
    """Run two, of which one streams to the other."""
    with running_postgres() as one, running_postgres() as two:
        init_store(one.url)
        pair = Pair(one, two, PostgresServer.promote, _stream)
        yield PairServer(process=pair, is_durable=True, pair=pair)


def _stream(replica: PostgresServer, primary: PostgresServer) -> None:
    replica.kill()
    replica.follow(primary)


@contextmanager
def on_nats_cluster(folder: Path) -> Iterator[ClusterServer]:
    """Run three, each of which keeps everything."""
    with running_trio(folder) as servers:
        process = servers[0]
        process.url = f"nats://{','.join(f'127.0.0.1:{one.port}' for one in servers)}?replicas=3"
        yield ClusterServer(process=process, is_durable=True, is_proxied=False, servers=servers)


SERVERS: Final[dict[str, Callable[[Path], AbstractContextManager[EngineServer]]]] = {
    **ENGINE_SERVERS,
    "nats+cluster": on_nats_cluster,
    "postgresql+replica": on_postgres_pair,
    "redis+replica": on_redis_pair,
    "redis+unix": on_redis_by_process,
    "redis-shards": on_redis_shards,
    **MACHINES,
}
"""Each is given an empty folder, and runs for as long as it is entered."""
