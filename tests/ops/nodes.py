"""Several nodes in one event loop, each with its lists, on a bus that carries by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from typing_extensions import override

from itemwire.channels.limits.bounds import Limits
from itemwire.channels.limits.item_rules import RulesOf, no_rules
from itemwire.ops.channel_list import ChannelList
from itemwire.ops.connection_list import ConnectionList
from itemwire.ops.feed import Feed
from itemwire.ops.hour import Hour
from tests.channels.nodes import Bus, SharedEngine
from tests.fakes import LIMITS, Stage


class LoopBus(Bus):
    """Carries each notice in the next turn of the event loop."""

    @override
    def post(self, notice: bytes) -> None:
        super().post(notice)
        with contextlib.suppress(RuntimeError):  # a node that stops has no loop any more
            asyncio.get_running_loop().call_soon(self.carry)


class Watched:
    """A node, and what operators see of it."""

    def __init__(self, bus: Bus, name: str, limits: Limits, rules_of: RulesOf) -> None:
        self.stage = Stage(SharedEngine(bus), limits, shared_as=name, rules_of=rules_of)
        node = self.stage.node
        self.node_id = node.overview.node_id
        self.hour = Hour()
        self.now = 1000.0
        self.channels = ChannelList(node.overview, node.questions, rules_of)
        self.connections = ConnectionList(node.overview, node.questions, node.environment)
        self.feed = Feed(node, self.hour, lambda: self.now)
        for part in (self.channels, self.connections, self.feed):
            part.start()


class Nodes:
    """Nodes that know each other."""

    def __init__(self, *names: str, limits: Limits = LIMITS, rules_of: RulesOf = no_rules) -> None:
        self.bus = LoopBus()
        self.all = [Watched(self.bus, name, limits, rules_of) for name in names]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Nodes]:
        """Let them hear of each other."""
        await self.settle()
        for one in self.all:
            one.stage.timers.make_later_calls()
        await self.settle()
        try:
            yield self
        finally:
            for one in self.all:
                await one.feed.stop()
                await one.stage.node.questions.stop()

    async def settle(self) -> None:
        """Let everything arrive that is on its way."""
        for _ in range(20):
            await asyncio.sleep(0)
            for one in self.all:
                one.stage.timers.make_soon_calls()
