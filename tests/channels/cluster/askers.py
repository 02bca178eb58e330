"""Nodes that ask each other, on an engine that carries their notices by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from typing_extensions import override

from itemwire.channels.cluster.gossip import Gossip
from itemwire.channels.cluster.notices import Notice, read_notice
from itemwire.channels.cluster.questions import Questions
from itemwire.counters import ChannelCounters
from itemwire.engines.base import Answer, EngineError
from itemwire.engines.memory import MemoryEngine
from tests.fakes import BOUNDS


class Wire(MemoryEngine):
    """An engine whose notices are carried to whoever is on it, in the next turn of the loop."""

    def __init__(self) -> None:
        super().__init__(BOUNDS)
        self.nodes: list[Questions] = []
        self.posted: list[Notice] = []
        self.refuses = False

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        assert until == 0  # nobody who starts later is to answer it
        read = read_notice(notice)
        self.posted.append(read)
        if self.refuses:
            answer(EngineError("away"))
            return
        for node in self.nodes:
            if node.node_id != read.node:
                asyncio.get_running_loop().call_soon(node.receive, read)
        answer(None)


def greet(node: Questions, *others: str) -> None:
    """Have a node hear a sign of life of others."""
    for other in others:
        node.receive(Notice(other, gossip=Gossip(1)))


async def doubled(facts: msgspec.Raw) -> object:
    """Answer twice the number that was asked about."""
    return msgspec.json.decode(facts, type=int) * 2


async def doubled_slowly(facts: msgspec.Raw) -> object:
    """Answer it some turns of the loop later."""
    for _ in range(20):
        await asyncio.sleep(0)
    return await doubled(facts)


def hear_number(_node: str, facts: msgspec.Raw) -> None:
    """Read the number that was told."""
    msgspec.json.decode(facts, type=int)


def crowd(*names: str, handler: Callable[[msgspec.Raw], Awaitable[object]] = doubled) -> Wire:
    """Give nodes that know each other."""
    wire = Wire()
    for name in names:
        node = Questions(name, wire, ChannelCounters())
        node.answer_with("double", handler)
        greet(node, *(other for other in names if other != name))
        wire.nodes.append(node)
    return wire
