"""What is compared between nodes: Itemwire on each engine, and its peers over Redis."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers import OVER_REDIS, PEERS, Peer
from itemwire.engines import ENGINES, OF_WORKERS, UNSHARED, init_store
from tests.conformance.engine_urls import ENGINE_URLS
from tests.postgres_server import running_postgres

REDIS: Final = "redis"
MEMORY: Final = "memory"
MEMORY_URL: Final = "memory://"
BASELINE: Final = "broadcaster"


@dataclass(frozen=True, slots=True)
class Contender:
    """A server with a store, and how clients connect to it."""

    title: str
    module: str
    """The name of its module in `benchmarks.peers`."""

    peer: Peer
    store: str
    is_ours: bool
    is_shared: bool
    """Whether several nodes on one store deliver each other's messages."""


@contextlib.contextmanager
def durable_postgres(_folder: Path) -> Iterator[str]:
    """Run a PostgreSQL that waits for the disk, which the one of the tests does not."""
    with running_postgres("-c", "fsync=on") as server:
        init_store(server.url)
        yield server.url


STORES: Final[dict[str, Callable[[Path], AbstractContextManager[str]]]] = {
    **ENGINE_URLS,
    "postgres": durable_postgres,
    "unix": ENGINE_URLS[OF_WORKERS],
}
"""Stores by name: each takes an empty folder, and yields its URL while it runs."""

ENGINE_NAMES: Final = list(dict.fromkeys(path.split(".")[2] for path in ENGINES.values()))

CONTENDERS: Final[dict[str, Contender]] = {
    name: Contender(
        f"Itemwire, {name}", "itemwire", PEERS["itemwire"], name, True, name not in UNSHARED
    )
    for name in ENGINE_NAMES
} | {
    name: Contender(f"{peer.title}, redis", name, peer, REDIS, False, True)
    for name, peer in OVER_REDIS.items()
}
