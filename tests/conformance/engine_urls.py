"""Where each engine is to be found by the tests: one row a scheme, started for them if need be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from tests.engine_process import running_engine, unix_url
from tests.nats_server import nats_url, tls_nats_url
from tests.postgres_server import postgres_url
from tests.redis_server import cluster_url, redis_url, shards_url, tls_url

EngineURL = Callable[[Path], AbstractContextManager[str]]


@contextlib.contextmanager
def in_memory(_folder: Path) -> Iterator[str]:
    """Need nothing: each engine is a world of its own."""
    yield "memory://"


@contextlib.contextmanager
def in_a_file(folder: Path) -> Iterator[str]:
    """Need nothing but a folder."""
    yield f"sqlite:///{folder / 'itemwire.db'}"


def by_a_process(engine: EngineURL) -> EngineURL:
    """Lead to an engine by a process, as `--share-engine` has it for workers."""

    @contextlib.contextmanager
    def url_by_process(folder: Path) -> Iterator[str]:
        place = folder / "process"
        place.mkdir()
        with engine(folder) as url, running_engine(place, url) as process:
            yield process.url

    return url_by_process


ENGINE_URLS: Final[dict[str, EngineURL]] = {
    "memory": in_memory,
    "sqlite": in_a_file,
    "postgres": postgres_url,
    "postgresql": postgres_url,
    "redis": redis_url,
    "rediss": tls_url,
    "redis+cluster": cluster_url,
    "redis-shards": shards_url,
    "nats": nats_url,
    "tls": tls_nats_url,
    "itemwire+unix": unix_url,
    "nats-by-process": by_a_process(nats_url),
    "postgresql-by-process": by_a_process(postgres_url),
    "redis-by-process": by_a_process(redis_url),
    "redis-shards-by-process": by_a_process(shards_url),
}
"""Each is given an empty folder, and gives the URL for as long as it is entered."""

LISTS: Final = frozenset({"redis-shards"})
"""Rows of the table that are no scheme: a scheme that names several servers."""

BY_PROCESS: Final = frozenset(name for name in ENGINE_URLS if name.endswith("-by-process"))
"""Rows that are no scheme: the engine of a process of workers, which stands before another."""

SAME: Final = frozenset({"redis+sentinel", "redis+unix", "unix", "valkey", "valkeys"})
"""Other ways to an engine of the table, which tests/engines/redis/test_ways.py takes."""

DURABLE: Final = frozenset({"nats", "postgresql", "sqlite"})
"""Engines whose store outlives them, so that the next one on the same URL goes on with it."""

OF_ONE_NODE: Final = frozenset({"memory", "sqlite"})
"""Engines whose store only one node can use."""
