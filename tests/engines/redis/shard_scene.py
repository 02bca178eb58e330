"""Three Redis servers that items are divided between, and how tests ask the engine on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from itemwire.counters import OPERATIONS, OperationCounters
from itemwire.engines import open_engine
from itemwire.engines.base import Answer, Engine, EngineError, Sink
from itemwire.engines.faults import EngineFault
from itemwire.engines.metered import MeteredEngine
from itemwire.engines.redis.shards import RedisShards
from itemwire.messages import Position
from tests.conformance.asked_engine import BOUNDS, WAIT_SECONDS, answer_of
from tests.fakes import draft
from tests.proxy import Proxy
from tests.redis_server import RedisServer, running_shards, url_of_all

NUMBERS: Final = range(3)


@contextlib.contextmanager
def proxied_shards(servers: Sequence[RedisServer]) -> Iterator[tuple[list[Proxy], str]]:
    """Put a proxy before each server; nodes with their URL are a list of their own."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(one.port).running()) for one in servers]
        yield proxies, url_of_all(proxy.port for proxy in proxies)


@dataclass(frozen=True, slots=True)
class Place:
    """Three servers, a proxy before each, and a URL that leads by the proxies."""

    servers: list[RedisServer]
    proxies: list[Proxy]
    url: str

    @property
    def reordered(self) -> str:
        """Give the URL that lists them in another order."""
        one, two, three = (proxy.port for proxy in self.proxies)
        return url_of_all((two, one, three))

    def channel_of(self, number: int) -> str:
        """Find a channel that this server has."""
        return self.channels_of(number)[0]

    def channels_of(self, number: int) -> list[str]:
        """Find channels that this server has."""
        engine = open_engine(self.url, BOUNDS)
        assert isinstance(engine, RedisShards)
        names = (f"item:{one}" for one in range(100))
        return [name for name in names if engine._shard_of(name) is engine._shards[number]]


@contextlib.contextmanager
def running_place(folder: Path) -> Iterator[Place]:
    """Run the servers and proxies of a test."""
    with running_shards(folder) as servers, proxied_shards(servers) as (proxies, url):
        yield Place(servers, proxies, url)


@contextlib.asynccontextmanager
async def started(engine: Engine, sink: Sink | None = None) -> AsyncIterator[Engine]:
    """Keep an engine started."""
    await engine.start(sink or Sink())
    try:
        yield engine
    finally:
        await engine.stop()


def metered(url: str) -> MeteredEngine:
    """Make an engine as a node has it."""
    return MeteredEngine(open_engine(url, BOUNDS), {one: OperationCounters() for one in OPERATIONS})


async def until(is_so: Callable[[], bool]) -> None:
    """Look again and again: what is waited for is told to nobody."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so():  # noqa: ASYNC110 - there is no one event
            await asyncio.sleep(0.02)


async def until_fault(engine: Engine, fault: EngineFault | None) -> None:
    """Wait until an engine says that this is what it lacks."""
    await until(lambda: engine.fault is fault)


async def publish(engine: Engine, channel: str) -> Position:
    """Publish something, and wait until it is stored."""
    return await answer_of(lambda answer: engine.publish(channel, draft(), answer))


async def subscribe(engine: Engine, channel: str) -> None:
    """Hear a channel."""

    def ask(answer: Answer[None]) -> None:
        engine.subscribe(channel, answer)

    await answer_of(ask)


def keys_of(server: RedisServer, pattern: str) -> int:
    """Count the keys of a server."""
    return int(server.ask("KEYS", pattern).split()[0][1:])


async def fault_of(engine: Engine, channel: str) -> EngineFault | None:
    """Publish something, and give the fault with which it was refused."""
    try:
        await publish(engine, channel)
    except EngineError as error:
        return error.fault
    return None
