"""Code hears all items of a pattern, whoever publishes, on every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from itemwire import MessagesLost, Publisher
from itemwire.channels.names import RULES_ITEM
from itemwire.channels.watched import MAX_PATTERNS, Watched, fed, matcher_of
from itemwire.engines.base import EngineError
from itemwire.messages import Gap, Position, Publication
from itemwire.subscribing import ItemMessages
from tests.conformance.engine_urls import ENGINE_URLS, OF_ONE_NODE
from tests.fakes import Stage
from tests.fakes.values import Clock
from tests.test_from_code import Host, running_host

Hosts = tuple[Host, Host, str]


@pytest.fixture(scope="module", params=["memory", "sqlite", "redis", "nats", "postgresql"])
def hosts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosts]:
    """Run the application twice, or once where no two can share the engine."""
    name = request.param
    with ExitStack() as stack:
        url = stack.enter_context(ENGINE_URLS[name](tmp_path_factory.mktemp(name)))
        count = 1 if name in OF_ONE_NODE else 2
        running = [stack.enter_context(running_host(url)) for _ in range(count)]
        yield running[0], running[-1], "" if name in OF_ONE_NODE else url


async def knows(host: Host, item_id: str) -> None:
    """Wait until a node has heard that somebody watches an item."""
    async with asyncio.timeout(10):
        while not host.live._running_node().publishing.watched.matches(item_id):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


@pytest.mark.server
def test_hears_all_items_of_a_pattern_whoever_publishes(hosts: Hosts) -> None:
    """Code, sockets, HTTP, and processes without a server; each message once, in order."""
    first, second, url = hosts

    def publish() -> None:
        for number in range(3):
            asyncio.run(second.live.publish(f"team:{number}", number, idempotency_key="k"))
            asyncio.run(second.live.publish(f"team:{number}", number, idempotency_key="k"))
        asyncio.run(second.live.publish("crew:1", "of another pattern"))
        with second.server.client("/live/items/team:1/ws?token=dora") as client:
            client.welcome()
            client.publish("by a socket", meta={"a": "b"}, end=True)
        address = f"{first.server.url}/live/items/team:1/messages?token=dora"
        assert httpx.post(address, json="over HTTP").status_code == 201
        if url:
            with Publisher(engine_url=url) as publisher:
                publisher.publish("team:1", "by a worker")
        asyncio.run(first.live.publish("team:a:b", "last"))

    async def hear() -> list[tuple[str, int, object]]:
        heard: list[tuple[str, int, object]] = []
        async with first.live.subscribe("team:*") as messages:
            await knows(second, "team:1")
            await asyncio.to_thread(publish)
            async for one in messages:
                heard.append((one.item, one.offset, one.data))
                if one.data == "by a socket":
                    assert (one.meta, one.end, one.sender) == ({"a": "b"}, True, "dora")
                if one.data == "last":
                    break
        return heard

    heard = first.do(hear())

    of_worker = [("team:1", 4, "by a worker")] if url else []
    assert heard == [
        ("team:0", 1, 0),
        ("team:1", 1, 1),
        ("team:2", 1, 2),
        ("team:1", 2, "by a socket"),
        ("team:1", 3, "over HTTP"),
        *of_worker,
        ("team:a:b", 1, "last"),
    ]


@pytest.mark.server
def test_nothing_more_is_fed_when_nobody_watches(hosts: Hosts) -> None:
    """Two watchers hear for themselves, and leave nothing behind."""
    first, second, _ = hosts

    async def hear() -> list[object]:
        subscribe = first.live.subscribe
        async with subscribe("solo:*", "solo:9") as one, subscribe("solo:*") as other:
            await knows(second, "solo:9")
            await asyncio.to_thread(lambda: asyncio.run(second.live.publish("solo:9", 1)))
            both = [(await anext(messages)).data for messages in (other, one, one)]
        assert not first.live._running_node().listening._watchers
        return both

    assert first.do(hear()) == [1, 1, 1]
    assert not first.live._running_node().publishing.watched.by_node


def test_a_loss_is_told_of_the_pattern() -> None:
    """It is unknown which items it was."""
    messages = ItemMessages()
    messages.hear(Gap("order:*", "e", 3, 5))

    with pytest.raises(MessagesLost) as lost:
        asyncio.run(anext(messages))

    assert (lost.value.item, lost.value.first, lost.value.last) == ("order:*", 3, 5)


@pytest.mark.parametrize(
    ("pattern", "items"),
    [
        ("order:*", ["order:7", "order:7:8"]),
        ("*:7", ["order:7"]),
        ("order:*:8", ["order:7:8"]),
        ("*", ["order", "order:7", "order:7:8"]),
    ],
)
def test_a_pattern_means_what_it_means_in_rights(pattern: str, items: list[str]) -> None:
    """A segment, and as the last one all that follow."""
    matches = matcher_of(pattern)

    assert [one for one in ("order", "order:7", "order:7:8") if matches(one)] == items


@pytest.mark.parametrize("pattern", ["", "a b:*", "x" * 200 + ":*", "$rules:*"])
def test_refuses_what_is_no_pattern(pattern: str) -> None:
    """Where it is written, and what another node says."""
    with pytest.raises(ValueError, match="no pattern"):
        matcher_of(pattern)
    watched = Watched(Clock())
    watched.note("node", [pattern])
    assert not watched.by_node


def test_forgets_a_node_that_says_no_more() -> None:
    """It was killed; and reserved names are nobody's items."""
    clock = Clock()
    watched = Watched(clock)
    watched.note("node", ["*"] * (MAX_PATTERNS + 5))

    before = [watched.matches(item) for item in ("order:7", RULES_ITEM)]
    patterns = len(watched.by_node["node"][1])
    clock.now += 31
    after = watched.matches("order:7")

    assert (before, patterns, after, watched.by_node) == ([True, False], MAX_PATTERNS, False, {})


def test_says_again_what_it_watches_before_it_is_forgotten() -> None:
    """A node that started meanwhile, or was cut off, learns of it."""
    stage = Stage()
    answers: list[Position | EngineError] = []
    stage.node.listening.watch("order:*", lambda _: None, answers.append)
    stage.settle()
    for _ in range(5):
        stage.clock.now += 11
        stage.node.tick()
        stage.settle()

    assert [isinstance(one, Position) for one in answers] == [True]
    assert stage.node.publishing.watched.matches("order:7")


@pytest.mark.parametrize("data", ["text", b"", b"\x90", b"\x93\xa1e\x01\xc4\x01x"])
def test_passes_over_what_nobody_has_fed(data: str | bytes) -> None:
    """Whoever may write to the store may have written it."""
    assert fed(Publication("$watch", 1, None, 0, data)) is None
