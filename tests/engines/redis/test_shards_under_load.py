"""One of three Redis servers dies in the middle of load, and comes back with nothing."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from itemwire.engines import open_engine
from itemwire.engines.base import Answer, Engine, EngineError, Sink
from itemwire.engines.faults import PART_AWAY
from itemwire.engines.redis.shards import RedisShards
from itemwire.messages import Draft, Position, Publication
from tests.conformance.asked_engine import WAIT_SECONDS, answer_of
from tests.engines.watched import BOUNDS, play
from tests.redis_server import RedisServer, running_shards, url_of_all
from tests.timing import BUSY_SECONDS

CHANNELS: Final = [f"item:{number}" for number in range(24)]
PERIOD: Final = 0.03  # between two messages of a channel
PAUSE: Final = 1.0  # the longest between two that arrive
NODES: Final = 2
MORE: Final = 20  # messages of each channel, before something else happens


class Hearer:
    """A node that hears every channel, and writes down what comes, and when."""

    def __init__(self, url: str) -> None:
        engine = open_engine(url, BOUNDS)
        assert isinstance(engine, RedisShards)
        self.engine = engine
        self.logs: dict[str, list[Publication | Position]] = defaultdict(list)
        self.times: dict[str, list[float]] = defaultdict(list)

    async def start(self) -> None:
        """Hear all channels."""
        await self.engine.start(Sink(self._take, lose=self._lose))
        for channel in CHANNELS:
            await subscribe(self.engine, channel)

    def _take(self, channel: str, publication: Publication) -> None:
        self.logs[channel].append(publication)
        self.times[channel].append(time.monotonic())

    def _lose(self, channel: str, position: Position) -> None:
        self.logs[channel].append(position)

    def texts(self, channel: str) -> list[object]:
        """List what was said on a channel."""
        return [one.data for one in self.logs[channel] if isinstance(one, Publication)]

    def check(self, channel: str) -> None:
        """See that there is no hole that was not told of."""
        log = self.logs[channel]
        for before, entry in pairwise(log):
            if isinstance(entry, Publication):
                assert entry.offset == before.offset + 1, (channel, before, entry)
        texts = self.texts(channel)
        assert len(set(texts)) == len(texts)


async def subscribe(engine: Engine, channel: str) -> None:
    """Hear a channel."""

    def ask(answer: Answer[None]) -> None:
        engine.subscribe(channel, answer)

    await answer_of(ask)


async def publish(engine: Engine, channel: str, text: str) -> Position:
    """Publish a text, with itself as its key."""
    draft = Draft("42", "alice", 1.5, text, text)

    def ask(answer: Answer[Position]) -> None:
        engine.publish(channel, draft, answer)

    return await answer_of(ask)


class Load:
    """Publishes to every channel, each message until it is stored, as a client does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.stored: dict[str, list[str]] = defaultdict(list)
        self.faults: dict[str, set[str]] = defaultdict(set)
        self.is_over = False

    async def run(self, channel: str) -> None:
        """Publish until the load is over."""
        number = 0
        while not self.is_over:
            await self._publish(channel, f"{number}")
            number += 1
            await asyncio.sleep(PERIOD)

    async def _publish(self, channel: str, text: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            try:
                await publish(self._engine, channel, text)
            except EngineError as error:
                self.faults[channel].add(error.fault.name)
                await asyncio.sleep(0.05)  # a client's backoff
            else:
                self.stored[channel].append(text)
                return
        raise AssertionError(f"{channel} takes nothing any more")


@pytest.mark.parametrize("killed", range(3))
def test_items_of_the_others_have_no_hole_and_no_pause(tmp_path: Path, killed: int) -> None:
    """Those of the one that died are told of the new epoch, and go on."""

    async def scene(servers: list[RedisServer], url: str) -> None:
        nodes = [Hearer(url) for _ in range(NODES)]
        for one in nodes:
            await one.start()
        load = Load(nodes[0].engine)
        publishing = [asyncio.create_task(load.run(channel)) for channel in CHANNELS]
        engine = nodes[0].engine
        lost = {one for one in CHANNELS if engine._shard_of(one) is engine._shards[killed]}
        await until_more_is_stored(load, CHANNELS)
        await asyncio.to_thread(servers[killed].kill)
        await until_fault(nodes, is_whole=False)
        await until_more_is_stored(load, set(CHANNELS) - lost)
        await asyncio.to_thread(servers[killed].start)
        await until_fault(nodes, is_whole=True)
        await until_more_is_stored(load, CHANNELS)
        load.is_over = True
        await asyncio.gather(*publishing)
        await until_all_is_heard(nodes, load)
        for one in nodes:
            check(one, load, lost)
            await one.engine.stop()

    def check(one: Hearer, load: Load, lost: set[str]) -> None:
        assert 2 <= len(lost) < len(CHANNELS) - 2
        for channel in CHANNELS:
            one.check(channel)
            losses = [entry for entry in one.logs[channel] if isinstance(entry, Position)]
            times = one.times[channel]
            pauses = [after - before for before, after in pairwise(times)]
            if channel in lost:
                assert len(losses) == 1
                assert load.faults[channel] >= {PART_AWAY.name}
            else:
                assert losses == []
                assert load.faults[channel] == set()
                assert one.texts(channel) == load.stored[channel]
                assert max(pauses) < PAUSE + BUSY_SECONDS

    with running_shards(tmp_path) as servers:
        play(lambda: scene(servers, url_of_all(one.port for one in servers)))


async def until_fault(nodes: list[Hearer], *, is_whole: bool) -> None:
    """Wait until every node has lost one server, or has all."""
    async with asyncio.timeout(WAIT_SECONDS):
        for one in nodes:
            while (one.engine.fault is None) is not is_whole:
                assert one.engine.is_available
                await asyncio.sleep(0.01)


async def until_more_is_stored(load: Load, channels: Iterable[str]) -> None:
    """Wait until each of these channels has a good many messages more."""
    wanted = {channel: len(load.stored[channel]) + MORE for channel in channels}
    async with asyncio.timeout(WAIT_SECONDS):
        for channel, count in wanted.items():
            while len(load.stored[channel]) < count:  # noqa: ASYNC110 - no one event
                await asyncio.sleep(0.01)


async def until_all_is_heard(nodes: list[Hearer], load: Load) -> None:
    """Wait until each node has the last message of each channel."""
    async with asyncio.timeout(WAIT_SECONDS):
        for one in nodes:
            for channel in CHANNELS:
                last = load.stored[channel][-1]
                while one.texts(channel)[-1:] != [last]:  # noqa: ASYNC110 - no one event
                    await asyncio.sleep(0.01)
