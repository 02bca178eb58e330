"""When a node without its engine sends its subscribers away, and how many at once."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster import cut_off
from itemwire.channels.cluster.cut_off import CUT_OFF_TICKS
from itemwire.close_reasons import OVERLOADED
from tests.channels.nodes import Bus, SharedEngine
from tests.fakes import Stage


def ticked(stage: Stage, ticks: int) -> None:
    """Let so many seconds go by."""
    for _ in range(ticks):
        stage.node.tick()
        stage.settle()


def test_tells_subscribers_that_hear_nothing_for_too_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A node that is deaf must not keep quiet about it; who subscribes to nothing stays (141)."""
    engine = SharedEngine(Bus())
    stage = Stage(engine, shared_as="a")
    subscriber, idle = stage.join(), stage.connect("bob")[1]
    engine.is_away = True
    ticked(stage, CUT_OFF_TICKS - 1)
    assert not subscriber.transport.closes

    ticked(stage, 3)

    assert [close.reason for close in subscriber.transport.closes] == [OVERLOADED.reason]
    assert not idle.closes
    assert caplog.text.count("cut_off seconds=30 connections=1") == 1


def test_outages_do_not_add_up() -> None:
    """What was missed in each was delivered after it: nobody need be told (117)."""
    engine = SharedEngine(Bus())
    stage = Stage(engine, shared_as="a")
    subscriber = stage.join()
    for _ in range(3):
        engine.is_away = True
        ticked(stage, CUT_OFF_TICKS - 1)
        engine.is_away = False
        ticked(stage, 1)

    assert not subscriber.transport.closes


def test_ends_them_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes they go to have some other time for each of them."""
    monkeypatch.setattr(cut_off, "MIN_BATCH", 2)
    engine = SharedEngine(Bus())
    stage = Stage(engine, shared_as="a")
    subscribers = [stage.join() for _ in range(20)]
    engine.is_away = True
    left: list[int] = []
    ticked(stage, CUT_OFF_TICKS - 1)
    for _ in range(10):
        ticked(stage, 1)
        left.append(sum(not one.transport.closes for one in subscribers))

    assert left == [16, 12, 9, 7, 5, 3, 1, 0, 0, 0]
