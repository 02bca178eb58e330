"""The positions of channels, compared with Redis now and then: in few calls, and kept alive."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator

import pytest

from itemwire.engines import open_engine
from itemwire.engines.redis import engine as redis_engine
from tests.engines.watched import Watched
from tests.fakes import BOUNDS, CHANNEL
from tests.redis_server import RedisServer, running_redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a server for the tests of this file."""
    with running_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


def on(url: str, scene: Callable[[Watched], Awaitable[None]]) -> None:
    """Play a scene on a started engine."""

    async def play() -> None:
        async with Watched(open_engine(url, BOUNDS)).running() as watched:
            await scene(watched)

    asyncio.run(play())


def test_a_channel_that_somebody_hears_does_not_end(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet channel is still a channel: its count must not begin anew under its subscribers."""
    monkeypatch.setattr(redis_engine, "CHECK_SECONDS", 0.02)

    async def scene(watched: Watched) -> None:
        engine = watched.engine
        assert isinstance(engine, redis_engine.RedisEngine)
        server.ask("PEXPIRE", engine._keys(CHANNEL).meta, 5000)
        await watched.until(
            lambda: int(server.ask("TTL", engine._keys(CHANNEL).meta).strip()[1:]) > 200
        )

    on(server.url, scene)


def test_positions_are_compared_a_hundred_in_a_call(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One script for each of 20,000 channels each 10 s was what an idle server was busy with."""
    monkeypatch.setattr(redis_engine, "CHECK_SECONDS", 1)
    names = [f"item:{number}" for number in range(300)]

    async def scene(watched: Watched) -> None:
        await asyncio.gather(*(watched.subscribe(name) for name in names))
        engine = watched.engine
        assert isinstance(engine, redis_engine.RedisEngine)
        one = engine._keys(names[-1]).meta
        before = calls()
        server.ask("PEXPIRE", one, 5000)
        await watched.until(lambda: int(server.ask("TTL", one).strip()[1:]) > 200)

        assert calls() - before <= 3 * 20  # in ten calls, or a little more where it is busy

    def calls() -> int:
        """Return how many scripts have run."""
        found = re.findall(rb"cmdstat_eval(?:sha)?:calls=(\d+)", server.ask("INFO", "commandstats"))
        return sum(map(int, found))

    on(server.url, scene)
