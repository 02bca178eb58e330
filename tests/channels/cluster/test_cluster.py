"""What a node does with the others' notices, and that its last one reaches them."""

from __future__ import annotations

import asyncio
import logging

import pytest
from typing_extensions import override

from itemwire.channels.cluster import exchange
from itemwire.channels.cluster.gossip import NodeStopping
from itemwire.channels.cluster.notices import Notice, read_notice
from itemwire.engines.base import Answer
from tests.channels.nodes import Bus, Crowd, SharedEngine
from tests.fakes import Stage


class SlowEngine(SharedEngine):
    """An engine that answers a notice when it is told to."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self.answers: list[Answer[None]] = []

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self.bus.post(notice)
        self.answers.append(answer)


def test_a_node_that_ends_waits_until_its_leave_is_on_its_way() -> None:
    """Else the engine is closed with the notice in its hands."""

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


@pytest.mark.parametrize("is_away", [False, True])
def test_no_node_waits_for_ever_to_end(monkeypatch: pytest.MonkeyPatch, is_away: bool) -> None:
    """An engine may be gone, or go just now."""
    monkeypatch.setattr(exchange, "ANSWER_SECONDS", 0.01)

    async def run() -> None:
        engine = SlowEngine(Bus())
        stage = Stage(engine, shared_as="a")
        engine.is_away = is_away
        await asyncio.wait_for(stage.node.stop(), 5)

    asyncio.run(run())


def test_a_notice_that_cannot_be_read_is_logged_and_does_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A newer node may say what this one has no word for."""
    caplog.set_level(logging.ERROR)
    crowd = Crowd("a", "b")
    crowd.bus.post(b'{"node": "c", "gossip": {"number": 1, "lines": [{"type": "new"}]}}')
    crowd.bus.post(Notice("c", connection="nobody").encoded())
    crowd.settle()
    alice, _ = crowd.join("a"), crowd.join("b")
    crowd.settle()

    assert [one.message.partition(" ")[0] for one in caplog.records] == ["notice_unreadable"] * 2
    assert len(alice.saw("joined")) == 1


def test_what_nodes_tell_of_themselves_is_kept_for_nobody() -> None:
    """By whatever clock: a node that is ahead of its engine would fill it (requirement 116)."""
    kept: list[float] = []

    class KeepingEngine(SharedEngine):
        @override
        def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
            kept.append(until)
            super().post(notice, until, answer)

    stage = Stage(KeepingEngine(Bus()), shared_as="a")
    stage.join()
    stage.do_what_waits()

    assert kept == [0]
