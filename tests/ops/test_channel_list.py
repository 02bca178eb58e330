"""Channels of several nodes: each is on one page, in the order of its rank, and added up."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Final

import msgspec
import pytest

from itemwire.channels.cluster.inquiries import NodeQuestion
from itemwire.channels.cluster.notices import Notice
from itemwire.channels.limits.item_rules import NO_RULES, ItemRules
from itemwire.ops import channel_rates
from itemwire.ops.channel_list import (
    CHANNELS,
    MOST_CHANNELS,
    SHARES,
    ChannelPage,
    Order,
    Share,
    WantedChannels,
    merged,
    read_cursor,
    write_cursor,
)
from tests.ops.nodes import Nodes

EPOCH: Final = "e"


@pytest.fixture(autouse=True)
def _ask_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_rates, "LEAST_SECONDS", 0.0)


async def pages(nodes: Nodes, wanted: WantedChannels) -> list[ChannelPage]:
    """Turn all pages, each on another node."""
    found: list[ChannelPage] = []
    while True:
        asked = nodes.all[len(found) % len(nodes.all)]
        page = await asked.channels.page(wanted)
        found.append(page)
        if page.next is None:
            return found
        wanted = replace(wanted, after=read_cursor(page.next))
        assert len(found) < 500


@pytest.mark.parametrize("seed", range(5))
def test_every_channel_is_on_one_page(seed: int) -> None:
    """With the listeners of all nodes, whatever share each node has."""
    chance = random.Random(seed)  # noqa: S311 - the same at each run
    expected: Counter[str] = Counter()

    async def scene() -> list[ChannelPage]:
        async with Nodes("a", "b", "c").running() as nodes:
            for _ in range(150):
                item = f"item-{chance.randrange(40)}"
                expected[item] += 1
                chance.choice(nodes.all).stage.join(item=item)
            return await pages(nodes, WantedChannels(limit=chance.choice([1, 3, 7, 100])))

    found = asyncio.run(scene())
    listed = [one for page in found for one in page.channels]

    assert Counter(one.item for one in listed) == Counter(dict.fromkeys(expected, 1))
    assert {one.item: one.listeners for one in listed} == dict(expected)
    for page in found:
        assert [one.listeners for one in page.channels] == sorted(
            (one.listeners for one in page.channels), reverse=True
        )
        assert (len(page.nodes), page.missing) == (3, [])


def test_the_most_used_come_first() -> None:
    """On one node the pages are in order from end to end."""

    async def scene() -> list[str]:
        async with Nodes("a").running() as nodes:
            for number in range(1, 8):
                for _ in range(number):
                    nodes.all[0].stage.join(item=f"item-{number}")
            found = await pages(nodes, WantedChannels(limit=2))
            return [one.item for page in found for one in page.channels]

    assert asyncio.run(scene()) == [f"item-{number}" for number in range(7, 0, -1)]


@pytest.mark.parametrize(
    ("pattern", "items"),
    [
        (None, {"a:1", "a:1:x", "b"}),
        ("*", {"a:1", "a:1:x", "b"}),
        ("a:*", {"a:1", "a:1:x"}),
        ("*:1", {"a:1"}),
        ("a:*:x", {"a:1:x"}),
        ("b", {"b"}),
        ("c", set()),
    ],
)
def test_lists_what_a_pattern_matches(pattern: str | None, items: set[str]) -> None:
    """As the patterns of scopes do; and never what is no item."""

    async def scene() -> set[str]:
        async with Nodes("a", "b").running() as nodes:
            for item in ("a:1", "a:1:x", "b", "$operations", "$watch"):
                nodes.all[len(item) % 2].stage.join(item=item)
            page = await nodes.all[0].channels.page(WantedChannels(pattern))
            return {one.item for one in page.channels}

    assert asyncio.run(scene()) == items


def test_ranks_by_the_rate_of_messages() -> None:
    """By the offsets that go by, of which nobody counts anything."""
    now = 100.0

    async def scene() -> list[tuple[str, float, int]]:
        nonlocal now
        async with Nodes("a").running() as nodes:
            channels = nodes.all[0].channels
            hub = nodes.all[0].stage.node.overview.hub
            channels.rates = channel_rates.ChannelRates(hub, lambda: now)
            peers = {item: nodes.all[0].stage.join(item=item) for item in ("quiet", "busy")}
            await channels.page(WantedChannels(order="rate"))
            for item, count in (("quiet", 1), ("busy", 10)):
                for _ in range(count):
                    peers[item].says("publish", data="x")
            now += 2
            page = await channels.page(WantedChannels(order="rate"))
            return [(one.item, one.messages_per_second, one.offset) for one in page.channels]

    assert asyncio.run(scene()) == [("busy", 5.0, 10), ("quiet", 0.5, 1)]


def test_says_nothing_of_members_where_the_rules_keep_none() -> None:
    """None is not the same as nobody."""

    def rules_of(item: str) -> ItemRules:
        return ItemRules(presence="off") if item == "off" else NO_RULES

    async def scene() -> dict[str, int | None]:
        async with Nodes("a", rules_of=rules_of).running() as nodes:
            for item in ("on", "off"):
                nodes.all[0].stage.join(item=item)
            page = await nodes.all[0].channels.page(WantedChannels())
            return {one.item: one.members for one in page.channels}

    assert asyncio.run(scene()) == {"on": 1, "off": None}


def test_looks_at_one_channel_on_every_node() -> None:
    """Whether or not somebody listens there."""

    async def scene() -> list[dict[str, int]]:
        async with Nodes("a", "b", "c").running() as nodes:
            for number, one in enumerate(nodes.all):
                for _ in range(number):
                    one.stage.join(item="42")
            found = [await nodes.all[0].channels.of_item(item) for item in ("42", "43")]
            names = {one.node_id: one.stage.node for one in nodes.all}
            assert set(found[0].by_node) < set(names)
            return [
                {"abc"[list(names).index(id_)]: one.listeners for id_, one in of.by_node.items()}
                for of in found
            ]

    assert asyncio.run(scene()) == [{"b": 1, "c": 2}, {}]


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (CHANNELS, b'{"limit": 0}'),
        (CHANNELS, b'{"limit": 101}'),
        (CHANNELS, b'{"order": "name"}'),
        (CHANNELS, b'{"pattern": "a//b"}'),
        (CHANNELS, b'{"after": ["x"]}'),
        (CHANNELS, b"[]"),
        (SHARES, b'"42"'),
        (SHARES, b"[1]"),
    ],
)
def test_a_question_past_its_bounds_is_not_answered(kind: str, facts: bytes) -> None:
    """The bus is not trusted; one within them is answered."""

    async def asked(content: bytes) -> int:
        async with Nodes("a").running() as nodes:
            before = len(nodes.bus.sent)
            question = NodeQuestion(1, kind, msgspec.Raw(content))
            nodes.all[0].stage.node.questions.receive(Notice("b", inquiry=question))
            await nodes.settle()
            return len(nodes.bus.sent) - before

    assert asyncio.run(asked(facts)) == 0
    assert asyncio.run(asked(b"{}" if kind == CHANNELS else b"[]")) == 1


@pytest.mark.parametrize("rank", [(-3, "a"), (0, "a:b"), (-0.5, "$"), (-1234567.25, "x:1")])
def test_a_cursor_is_read_as_it_was_written(rank: tuple[float, str]) -> None:
    """Whatever the rank is, and whatever the item is called."""
    assert read_cursor(write_cursor(rank)) == rank


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        ":",
        "1:",
        ":a",
        "-1:a",
        "nan:a",
        "inf:a",
        "1e400:a",
        "1_0:a",
        "٣:a",
        "1:" + "a" * 200,
    ],
)
def test_no_other_text_is_a_cursor(text: str) -> None:
    """It comes from whoever asks."""
    with pytest.raises(ValueError, match="next"):
        read_cursor(text)


@pytest.mark.parametrize("order", ["listeners", "rate"])
def test_the_largest_page_fits_a_notice(order: Order) -> None:
    """The longest names there are, on a hundred channels."""
    shares = [
        Share(f"{number:0128}", 2**31, 123456.789, 2**53, "e" * 60, 2**31)
        for number in range(MOST_CHANNELS)
    ]

    assert order in {"listeners", "rate"}
    assert len(msgspec.json.encode(shares)) < 64 * 1024


def test_adds_up_what_nodes_know() -> None:
    """The position is the newest, and members are those of all nodes on each of them."""
    shares = [Share("42", 2, 0.5, 7, "e", 3), Share("42", 1, 1.5, 9, "e", None)]
    one, none = merged("42", shares), merged("43", [])

    assert (one.listeners, one.nodes, one.members) == (3, 2, 3)
    assert (one.messages_per_second, one.offset, one.epoch) == (1.5, 9, "e")
    assert (none.listeners, none.nodes, none.members, none.offset) == (0, 0, None, 0)


def test_ten_thousand_channels_do_not_hold_the_loop() -> None:
    """They are walked in slices, with a turn for everybody else between two of them."""

    async def scene() -> tuple[int, int]:
        async with Nodes("a").running() as nodes:
            stage = nodes.all[0].stage
            for number in range(10_000):
                stage.join(item=f"item-{number}")
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            beside = asyncio.create_task(count())
            page = await nodes.all[0].channels.page(WantedChannels())
            beside.cancel()
            return turns, len(page.channels)

    turns, listed = asyncio.run(scene())

    assert listed == MOST_CHANNELS
    assert turns >= 3 * 10_000 // 500 - 3
