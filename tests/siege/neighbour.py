"""Two clients that do what they should, and how late their messages come meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from itemwire.bench.crowd import Crowd, crowd
from itemwire.bench.histogram import LatencyHistogram
from itemwire.bench.target import ENVELOPES, target_of
from tests.scenarios.clients import TALKING, token
from tests.stuck import Healthy

RATE: Final = 200  # messages a second
LATE_SECONDS: Final = 10.0  # that the last message may take to come


@dataclass(slots=True)
class Neighbour:
    """A publisher and a subscriber of one item."""

    pair: Crowd[Healthy]

    async def talk(self, is_over: Callable[[], bool]) -> LatencyHistogram:
        """Publish at a fixed rate, however late the server is, and return how late it was."""
        publisher, subscriber = self.pair.listeners
        subscriber.latency = latency = LatencyHistogram()
        subscriber.count = sent = 0
        began = time.perf_counter()
        while not is_over():
            now = time.perf_counter_ns()
            publisher.send_text(f'{{"type":"publish","data":"{now:020}"}}')
            sent += 1
            await asyncio.sleep(max(began + sent / RATE - time.perf_counter(), 0))
        deadline = time.monotonic() + LATE_SECONDS
        while subscriber.count < sent and time.monotonic() < deadline:  # noqa: ASYNC110 - so many
            await asyncio.sleep(1 / RATE)
        for _ in range(sent - subscriber.count):
            latency.record(int(LATE_SECONDS * 1e9))  # lost, or not yet there
        return latency

    async def talk_for(self, seconds: float) -> LatencyHistogram:
        """Talk for so long."""
        end = time.monotonic() + seconds
        return await self.talk(lambda: time.monotonic() >= end)


@asynccontextmanager
async def neighbour(url: str) -> AsyncIterator[Neighbour]:
    """Connect both, with a token that outlives the siege."""
    own = token("neighbour", TALKING, lifetime=3600)
    target = target_of(url, tokens=(own,), subprotocol=ENVELOPES)
    async with crowd(target, 2, lambda _: Healthy(0, target.dialect)) as pair:
        pair.demand_all()
        yield Neighbour(pair)
