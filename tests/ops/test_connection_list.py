"""Connections of several nodes: each is on one page, with what an operator asks about."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from itemwire.channels.cluster.inquiries import MAX_ANSWER_BYTES, NodeQuestion
from itemwire.channels.cluster.notices import MAX_NOTICE_BYTES, Notice
from itemwire.ops.connection_list import (
    CONNECTIONS,
    MOST_CONNECTIONS,
    MOST_ITEMS,
    Connected,
    ConnectedPage,
    WantedConnections,
)
from tests.fakes import EVERYTHING, LIMITS, ItemRules
from tests.ops.nodes import Nodes


async def pages(nodes: Nodes, wanted: WantedConnections) -> list[ConnectedPage]:
    """Turn all pages, each on another node."""
    found: list[ConnectedPage] = []
    while True:
        page = await nodes.all[len(found) % len(nodes.all)].connections.page(wanted)
        found.append(page)
        if page.next is None:
            return found
        wanted = replace(wanted, after=page.next)
        assert len(found) < 500


@pytest.mark.parametrize("limit", [1, 4, 5, 1000])
def test_every_connection_is_on_one_page(limit: int) -> None:
    """In the order of the ids, whichever node has it and whichever is asked."""

    async def scene() -> tuple[list[str], list[str], int]:
        async with Nodes("a", "b", "c").running() as nodes:
            here = [
                one.stage.join(f"s{number}").connection.id
                for number in range(7)
                for one in nodes.all[: number % 3 + 1]
            ]
            found = await pages(nodes, WantedConnections(limit=limit))
            listed = [one.id for page in found for one in page.connections]
            return here, listed, max(len(page.connections) for page in found)

    here, listed, most = asyncio.run(scene())

    assert listed == sorted(here)
    assert most <= limit


def test_lists_those_of_a_subject() -> None:
    """By its whole name."""

    async def scene() -> list[Connected]:
        async with Nodes("a", "b").running() as nodes:
            for one in nodes.all:
                for subject in ("alice", "alice2", "Alice"):
                    one.stage.join(subject)
            return (await nodes.all[0].connections.page(WantedConnections("alice"))).connections

    found = asyncio.run(scene())

    assert [one.subject for one in found] == ["alice", "alice"]
    assert len({one.node for one in found}) == 2


def test_says_how_far_a_client_is_behind() -> None:
    """What waits for it, and since when it is there."""

    async def scene() -> list[Connected]:
        async with Nodes("a").running() as nodes:
            stage = nodes.all[0].stage
            slow = stage.join("slow", room=0)
            stage.clock.now += 30
            for _ in range(3):
                stage.join("fast").says("publish", data="x" * 100)
                stage.settle()
            assert slow.connection.outbox is not None
            return [
                *(await nodes.all[0].connections.page(WantedConnections("slow"))).connections,
                *(await nodes.all[0].connections.page(WantedConnections("fast"))).connections,
            ]

    slow, *fast = asyncio.run(scene())

    assert slow.lag >= 3
    assert slow.outbox_bytes > 300
    assert (slow.age, slow.codec, slow.items, slow.item_count) == (30, "json", ["42"], 1)
    assert {(one.lag, one.outbox_bytes, one.age) for one in fast} == {(0, 0, 0)}


def test_names_a_hundred_items_of_a_connection() -> None:
    """And says how many there are; what is no item is not counted."""

    async def scene() -> Connected:
        async with Nodes("a", limits=replace(LIMITS, max_items=1000)).running() as nodes:
            names = [f"item-{number}" for number in range(MOST_ITEMS + 5)]
            stage = nodes.all[0].stage
            peer = stage.open(ItemRules(dict.fromkeys(names, EVERYTHING)))
            for name in names:
                peer.joins(name)
            nodes.all[0].feed.begin(peer.connection)
            return nodes.all[0].connections.here(1, "")[0]

    found = asyncio.run(scene())

    assert (len(found.items), found.item_count) == (MOST_ITEMS, MOST_ITEMS + 5)


def test_the_part_of_a_node_fits_a_notice() -> None:
    """Whatever the subjects and items are called; what does not fit is on the next page."""

    async def scene() -> tuple[int, int, list[int]]:
        async with Nodes("a", "b").running() as nodes:
            for number in range(600):
                nodes.all[1].stage.join("ä\n" * 100 + str(number), item="i" * 128)
            asked = nodes.all[0].connections
            nodes.bus.sent.clear()
            found = await pages(nodes, WantedConnections(limit=MOST_CONNECTIONS))
            first = await asked.page(WantedConnections(limit=MOST_CONNECTIONS))
            listed = sum(len(page.connections) for page in found)
            return listed, len(first.connections), [len(notice) for notice in nodes.bus.sent]

    listed, first, sizes = asyncio.run(scene())

    assert listed == 600
    assert 0 < first < 600
    assert max(sizes) < MAX_NOTICE_BYTES
    assert max(sizes) < MAX_ANSWER_BYTES + 1000


@pytest.mark.parametrize(
    "facts", [b'{"limit": 0}', b'{"limit": 1001}', b'{"subject": 5}', b"[]", b'{"after": null}']
)
def test_a_question_past_its_bounds_is_not_answered(facts: bytes) -> None:
    """The bus is not trusted; one within them is answered."""

    async def asked(content: bytes) -> int:
        async with Nodes("a").running() as nodes:
            before = len(nodes.bus.sent)
            question = NodeQuestion(1, CONNECTIONS, msgspec.Raw(content))
            nodes.all[0].stage.node.questions.receive(Notice("b", inquiry=question))
            await nodes.settle()
            return len(nodes.bus.sent) - before

    assert asyncio.run(asked(facts)) == 0
    assert asyncio.run(asked(b"{}")) == 1
