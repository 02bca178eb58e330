"""What operators see of all nodes: runs beside its node, and takes a sample each second."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AbstractAsyncContextManager
from typing import Final, Self

from typing_extensions import override

from itemwire.channels.names import channel_of
from itemwire.channels.node import Node
from itemwire.counters import Counters
from itemwire.engines.base import Answer, Engine
from itemwire.ops.channel_list import ChannelList
from itemwire.ops.connection_list import ConnectionList
from itemwire.ops.feed import Feed
from itemwire.ops.hour import Hour
from itemwire.ops.node_list import NodeList, NodeNow
from itemwire.ops.sampling import Sampler
from itemwire.readiness import state_of
from itemwire_auth.authenticator import Authenticator

logger = logging.getLogger("itemwire.channels")

SAMPLE_SECONDS: Final = 1.0


class Operations(AbstractAsyncContextManager["Operations"]):
    """Keeps the hour of this node, and lists what all nodes have."""

    def __init__(
        self,
        node: Node,
        engine: Engine,
        counters: Counters,
        authenticator: Authenticator,
        *,
        engine_name: str,
        workers: int,
    ) -> None:
        self._node = node
        self._engine = engine
        self._authenticator = authenticator
        self._questions = node.questions
        clock = node.environment.clock
        self._sampler = Sampler(counters, node.connection_log, unix_clock=clock)
        self._hour = Hour()
        self.feed = Feed(node, self._hour)
        self.channels = ChannelList(node.overview, node.questions, node.rules_of)
        self.connections = ConnectionList(node.overview, node.questions, node.environment)
        self.nodes = NodeList(
            node.questions, self._look, engine=engine_name, workers=workers, clock=clock
        )
        self._task: asyncio.Task[None] | None = None

    @override
    async def __aenter__(self) -> Self:
        for part in (self.feed, self.channels, self.connections, self.nodes):
            part.start()
        self._task = asyncio.create_task(self._run())
        return self

    @override
    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.feed.stop()
        await self._questions.stop()

    def erase(self, item_id: str, answer: Answer[None]) -> None:
        """Empty the history of an item; answer once that is done."""
        self._engine.erase(channel_of(item_id), self._node.answers.limit(answer))

    async def _run(self) -> None:
        while True:
            due = time.monotonic() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            try:
                self._sample(max(time.monotonic() - due, 0.0))
            except Exception:
                # The loop must survive: operators look when something fails.
                logger.exception("tick_failed")

    def _sample(self, lag: float) -> None:
        sample = self._sampler.take(lag)
        self._hour.add(sample)
        self.feed.publish(sample)
        self.channels.rates.tick()

    def _look(self) -> NodeNow:
        state = state_of(self._node, self._authenticator)
        sample = self._hour.newest
        return NodeNow(
            len(self._node.overview.registry),
            self._node.channels,
            state.status,
            state.reason,
            sample.loop_lag_ms,
        )
