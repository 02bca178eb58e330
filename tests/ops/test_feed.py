"""The figures of each second: who gets them, what nodes send each other, and for how long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from itemwire.channels.cluster.inquiries import NodeTold
from itemwire.channels.cluster.notices import MAX_NOTICE_BYTES, Notice, read_notice
from itemwire.ops.feed import FRESH_SECONDS, LEASE_SECONDS, MOST_WATCHERS, SAMPLE, WATCHED
from itemwire.ops.samples import NOTHING, Sample
from itemwire.wire import PLAIN
from tests.fakes import LIMITS, RecordingTransport
from tests.ops.nodes import Nodes, Watched


def sample(connections: int, at: float = 1.0) -> Sample:
    """Make figures that can be told from others."""
    return replace(NOTHING, at=at, connections=connections)


async def watch(nodes: Nodes, one: Watched, subject: str = "root") -> RecordingTransport:
    """Watch on a node, and wait for the hour."""
    connection, transport = one.stage.connect(subject, PLAIN)
    one.feed.begin(connection)
    while not transport.frames and connection.is_open:
        await nodes.settle()
    return transport


def told(nodes: Nodes, kind: str) -> int:
    """Count what nodes have told each other of a kind."""
    inquiries = [read_notice(notice).inquiry for notice in nodes.bus.sent]
    return sum(isinstance(one, NodeTold) and one.kind == kind for one in inquiries)


def seen(transport: RecordingTransport) -> list[dict[str, Any]]:
    """List what a watcher was sent."""
    return [json.loads(frame) for frame in transport.frames]


def test_nodes_send_nothing_while_nobody_watches() -> None:
    """Each keeps its own hour, whatever that is."""

    async def scene() -> list[object]:
        async with Nodes("a", "b").running() as nodes:
            for one in nodes.all:
                one.feed.publish(sample(1))
            await nodes.settle()
            inquiries = [read_notice(notice).inquiry for notice in nodes.bus.sent]
            return [one for one in inquiries if one is not None]

    assert asyncio.run(scene()) == []


def test_a_watcher_gets_the_hour_then_each_second() -> None:
    """Of every node, on its own and added up."""

    async def scene() -> tuple[list[dict[str, Any]], list[str]]:
        async with Nodes("a", "b").running() as nodes:
            here, there = nodes.all
            here.hour.add(sample(3))
            there.hour.add(sample(4))
            transport = await watch(nodes, here)
            there.feed.publish(sample(6))
            await nodes.settle()
            here.feed.publish(sample(5, at=2.0))
            await nodes.settle()
            return seen(transport), [here.node_id, there.node_id]

    (hour, second), ids = asyncio.run(scene())

    assert (hour["type"], hour["step_s"]) == ("hour", 10)
    counts = [[one["connections"] for one in hour["nodes"][id_]] for id_ in ids]
    assert counts == [[3], [4]]
    assert (second["type"], second["at"]) == ("sample", 2.0)
    assert {one["node"]: one["connections"] for one in second["nodes"]} == dict(
        zip(ids, (5, 6), strict=True)
    )
    assert second["sum"]["connections"] == 11


def test_the_hour_of_a_node_fits_a_notice() -> None:
    """Whatever happens in it: with dozens of reasons each second, there are fewer samples."""
    reasons = {f"a_reason_of_an_application_{number}": 1234.567 for number in range(40)}

    async def scene(sample_of: Callable[[float], Sample]) -> tuple[list[float], int]:
        async with Nodes("a", "b").running() as nodes:
            here, there = nodes.all
            for second in range(4000):
                there.hour.add(sample_of(float(second)))
            transport = await watch(nodes, here)
            (hour,) = seen(transport)
            largest = max(len(notice) for notice in nodes.bus.sent)
            return [one["at"] for one in hour["nodes"][there.node_id]], largest

    full = replace(NOTHING, refusals_per_second=reasons, closes_per_second=reasons)
    calm, _ = asyncio.run(scene(lambda at: sample(1, at)))
    wild, largest = asyncio.run(scene(lambda at: replace(full, at=at)))

    assert len(calm) == 60 + 354
    assert 40 < len(wild) < len(calm)
    assert (wild[-1], wild == sorted(wild)) == (3999.0, True)
    assert wild[0] < 600
    assert largest < MAX_NOTICE_BYTES


def test_a_node_sends_for_as_long_as_it_is_asked_to() -> None:
    """One whose watcher has gone, or that was killed, is sent no more when its lease is over."""

    async def scene() -> list[int]:
        async with Nodes("a", "b").running() as nodes:
            here, there = nodes.all
            transport = await watch(nodes, here)
            sent: list[int] = []
            for seconds in (0.0, LEASE_SECONDS - 1, 2.0):
                there.now += seconds
                there.feed.publish(sample(1))
                sent.append(told(nodes, SAMPLE))
            assert transport.connection is not None
            return sent

    assert asyncio.run(scene()) == [1, 2, 2]


def test_a_node_that_watches_renews_its_lease() -> None:
    """Each few seconds, and no more often; and not once its watcher has gone."""

    async def scene() -> list[int]:
        async with Nodes("a", "b").running() as nodes:
            here = nodes.all[0]
            transport = await watch(nodes, here)
            renewed: list[int] = []
            for _ in range(11):
                here.now += 1
                here.feed.publish(sample(1))
            renewed.append(told(nodes, WATCHED))
            assert transport.connection is not None
            transport.connection.lost(1000)
            for _ in range(11):
                here.now += 1
                here.feed.publish(sample(1))
            renewed.append(told(nodes, WATCHED))
            return [*renewed, here.feed.watchers]

    assert asyncio.run(scene()) == [3, 3, 0]


def test_a_node_that_falls_silent_is_left_out() -> None:
    """Old figures would look like a node that is well."""

    async def scene() -> list[int]:
        async with Nodes("a", "b").running() as nodes:
            here, there = nodes.all
            transport = await watch(nodes, here)
            there.feed.publish(sample(1))
            await nodes.settle()
            for seconds in (0.0, FRESH_SECONDS - 0.1, 0.2):
                here.now += seconds
                here.feed.publish(sample(1))
                await nodes.settle()
            return [len(one["nodes"]) for one in seen(transport)[1:]]

    assert asyncio.run(scene()) == [2, 2, 1]


@pytest.mark.parametrize("facts", [b"{}", b'"x"', b'{"at": 1}', b"1"])
def test_figures_that_cannot_be_read_are_dropped(facts: bytes) -> None:
    """The bus is not trusted; good ones are taken."""

    async def scene(content: bytes) -> int:
        async with Nodes("a", "b").running() as nodes:
            here = nodes.all[0]
            transport = await watch(nodes, here)
            notice = Notice("b9", inquiry=NodeTold(SAMPLE, msgspec.Raw(content)))
            here.stage.node.questions.receive(notice)
            here.feed.publish(sample(1))
            await nodes.settle()
            return len(seen(transport)[-1]["nodes"])

    assert asyncio.run(scene(facts)) == 1
    assert asyncio.run(scene(msgspec.json.encode(sample(1)))) == 2


def test_only_so_many_watch_on_a_node() -> None:
    """One more is told to come later; where one leaves, one comes in."""

    async def scene() -> list[list[str]]:
        async with Nodes("a").running() as nodes:
            here = nodes.all[0]
            first = await watch(nodes, here)
            for _ in range(MOST_WATCHERS - 1):
                await watch(nodes, here)
            late = await watch(nodes, here)
            assert first.connection is not None
            first.connection.lost(1000)
            later = await watch(nodes, here)
            return [late.reasons, later.reasons]

    assert asyncio.run(scene()) == [["overloaded"], []]


def test_operators_see_a_node_that_takes_no_more_channels() -> None:
    """That is when they look."""

    async def scene() -> int:
        async with Nodes("a", limits=replace(LIMITS, max_channels=1)).running() as nodes:
            nodes.all[0].stage.join(item="42")
            return len((await watch(nodes, nodes.all[0])).frames)

    assert asyncio.run(scene()) == 1


def test_watching_is_no_delivery_and_no_member() -> None:
    """It would show in the very figures that are watched."""

    async def scene() -> tuple[int, int, list[str]]:
        async with Nodes("a", "b").running() as nodes:
            here = nodes.all[0]
            transport = await watch(nodes, here)
            before = len(nodes.bus.sent)
            here.feed.publish(sample(1))
            await nodes.settle()
            assert transport.connection is not None
            transport.connection.lost(1006)
            here.stage.timers.make_later_calls()
            lines = [read_notice(notice).gossip for notice in nodes.bus.sent[before:]]
            gossip = [str(one) for one in lines if one is not None and one.lines]
            return (
                here.stage.node.counters.delivered,
                here.stage.node.counters.subscriptions,
                gossip,
            )

    assert asyncio.run(scene()) == (0, 0, [])


def test_who_leaves_before_the_hour_has_come_is_forgotten() -> None:
    """Nothing is sent to a socket that is gone."""

    async def scene() -> tuple[int, int]:
        async with Nodes("a").running() as nodes:
            here = nodes.all[0]
            connection, transport = here.stage.connect("root", PLAIN)
            here.feed.begin(connection)
            connection.lost(1000)
            await nodes.settle()
            here.feed.begin(connection)
            await nodes.settle()
            return len(transport.frames), here.feed.watchers

    assert asyncio.run(scene()) == (0, 0)


def test_gives_the_figures_of_all_nodes_to_who_asks_once() -> None:
    """Whether or not somebody watches."""

    async def scene() -> tuple[list[int], int, list[str]]:
        async with Nodes("a", "b").running() as nodes:
            for number, one in enumerate(nodes.all, 1):
                one.hour.add(sample(number))
            stats = await nodes.all[1].feed.stats()
            return [one.connections for one in stats.nodes], stats.sum.connections, stats.missing

    assert asyncio.run(scene()) == ([2, 1], 3, [])
