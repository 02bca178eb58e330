"""What a node exchanges with the others, up to the notice that it stops."""

from __future__ import annotations

import asyncio

import pytest
from typing_extensions import override

from itemwire.channels.cluster import exchange
from itemwire.channels.cluster.gossip import NodeStopping
from itemwire.channels.cluster.notices import read_notice
from itemwire.channels.cluster.peer import HEARTBEAT_TICKS
from itemwire.engines.base import Answer
from tests.channels.nodes import Bus, SharedEngine
from tests.fakes import CHANNEL, Stage


class SlowEngine(SharedEngine):
    """An engine that answers a notice when it is told to."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self.answers: list[Answer[None]] = []

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self.bus.post(notice)
        self.answers.append(answer)


def test_a_node_that_stops_waits_until_its_farewell_is_sent() -> None:
    """Otherwise the engine would be closed before the notice has left."""

    async def run() -> tuple[bool, bool]:
        engine = SlowEngine(Bus())
        stage = Stage(engine, shared_as="a")
        stopping = asyncio.ensure_future(stage.node.stop())
        await asyncio.sleep(0)
        before = stopping.done()
        last = read_notice(engine.bus.sent[-1]).gossip
        assert last is not None
        assert last.lines == [NodeStopping()]
        for answer in engine.answers:
            answer(None)
        await asyncio.wait_for(stopping, 5)
        return before, stopping.done()

    assert asyncio.run(run()) == (False, True)


def test_a_node_that_stops_waits_for_each_notice_and_for_no_time_after_the_last() -> None:
    """Some may be on their way when it begins to stop."""

    async def run() -> list[bool]:
        engine = SlowEngine(Bus())
        stage = Stage(engine, shared_as="a")
        stage.node.tick()
        stage.node.tick()
        stopping = asyncio.ensure_future(stage.node.stop())
        await asyncio.sleep(0)
        done = [len(engine.answers) > 1]
        for answer in engine.answers:
            done.append(stopping.done())
            answer(None)
            for _ in range(5):
                await asyncio.sleep(0)
        done.append(stopping.done())
        return done

    many, *before, after = asyncio.run(run())

    assert many
    assert not any(before)
    assert after


@pytest.mark.parametrize("is_away", [False, True])
def test_no_node_waits_for_ever_to_stop(monkeypatch: pytest.MonkeyPatch, is_away: bool) -> None:
    """The engine may be unavailable, or become so at this moment."""
    monkeypatch.setattr(exchange, "ANSWER_SECONDS", 0.01)

    async def run() -> None:
        engine = SlowEngine(Bus())
        stage = Stage(engine, shared_as="a")
        engine.is_away = is_away
        await asyncio.wait_for(stage.node.stop(), 5)

    asyncio.run(run())


def test_gossip_is_not_stored_by_the_engine() -> None:
    """Whatever the clocks say: a node ahead of its engine would fill it (requirement 116).

    And what is told on an item's channel is in no notice.
    """
    kept: list[float] = []

    class KeepingEngine(SharedEngine):
        @override
        def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
            kept.append(until)
            super().post(notice, until, answer)

    bus = Bus()
    stage = Stage(KeepingEngine(bus), shared_as="a")  # which greets the others
    stage.join()
    stage.do_what_waits()
    for _ in range(HEARTBEAT_TICKS):
        stage.node.tick()

    assert kept == [0, 0]
    assert {channel for channel, _ in bus.told} == {CHANNEL}


@pytest.mark.parametrize("node", [None, "a"], ids=["alone", "one of several"])
def test_an_item_is_heard_while_somebody_is_there(node: str | None) -> None:
    """What was heard for ever would cost the engine more with each item that anybody looked at."""
    engine = SharedEngine(Bus())
    stage = Stage(engine, shared_as=node)
    peer = stage.join()
    stage.do_what_waits()
    before = set(engine.hearing)
    peer.session.closed(1000)
    stage.do_what_waits()

    assert (before, engine.hearing) == ({CHANNEL}, set())
