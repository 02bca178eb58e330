"""A publisher without a server keeps to the rules of the channels, on every shared engine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from itemwire import EngineError, Itemwire, Publisher, Rights, publishing_ways
from itemwire.channels.limits.item_rules import MessageRefused
from itemwire.channels.names import RULES_ITEM
from itemwire.engines import open_engine
from itemwire.engines.base import NO_SINK, Bounds, ChannelBounds
from itemwire.engines.callbacks import answer_or_raise
from itemwire.engines.memory import MemoryEngine
from itemwire.messages import Draft
from itemwire.publishing_ways import EngineWay, OutgoingMessage
from itemwire.rules.channels import RuledBounds
from itemwire.rules.shared import (
    LAST,
    MAX_BYTES,
    MAX_RULES,
    RULES_BOUNDS,
    RULES_CHANNEL,
    SharedRules,
    share_rules,
    written,
)
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.conformance.engine_urls import ENGINE_URLS
from tests.test_channel_options import ALL, caller
from tests.test_startup_checks import settings_of

DEFAULT: Final = Bounds(messages=100, bytes=1000, seconds=300, total_bytes=5)


class Shipped(BaseModel):
    """An event of an order."""

    parcels: list[int]


class Reading(msgspec.Struct):
    """What a sensor tells."""

    celsius: float


OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "order:{id}": {"model": Shipped, "history": 2},
    "sensor:{id}": {"model": Reading, "max_message_bytes": 30},
    "cursor:{id}": {"history": 0},
    "status:{id}": {"history": 0, "retain": True},
    "json:{id}": {"model": {"type": "string"}},
}


def application(url: str) -> tuple[FastAPI, Itemwire]:
    """Make an application whose channels have rules."""
    live = Itemwire(user=caller, settings=settings_of(secret=None, engine_url=url))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    async def everything() -> Rights:
        return ALL

    for pattern, options in OPTIONS.items():
        live.channel(pattern, **options)(everything)
    return app, live


@pytest.fixture(scope="module", params=["redis", "redis+cluster", "nats", "postgresql"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LiveServer, str]]:
    """Run a server on a shared engine."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp(request.param)
        url = stack.enter_context(ENGINE_URLS[request.param](folder))
        yield stack.enter_context(live_application(application(url)[0])), url


@pytest.mark.server
def test_keeps_to_the_models_and_sizes_of_the_channels(place: tuple[LiveServer, str]) -> None:
    """Before anything is stored, with the path of the fault."""
    _, url = place
    good: list[tuple[str, object]] = [("order:1", {"parcels": [1]}), ("sensor:1", {"celsius": 1})]
    faults: list[tuple[str, object, str]] = [
        ("order:1", {"parcels": [1, "2"]}, r"data\.parcels\[1\]: "),
        ("sensor:1", {"celsius": "1"}, r"data\.celsius: "),
        ("sensor:1", {"celsius": 1, "more": "x" * 30}, "larger than 30 bytes"),
        ("json:1", 5, "data: "),
    ]
    with Publisher(engine_url=url) as publisher:
        for item, data, fault in faults:
            with pytest.raises(ValueError, match=fault) as refused:
                publisher.publish_many([*good, (item, data)])
            assert isinstance(refused.value, EngineError)
        positions = publisher.publish_many(good)

    assert [one.offset for one in positions] == [1, 1]


@pytest.mark.server
def test_keeps_to_what_is_kept(place: tuple[LiveServer, str]) -> None:
    """As much history, the last message, and nothing of what is ephemeral."""
    server, url = place
    socket = "/live/items/{}/ws?token=alice".format
    with server.client(socket("cursor:2")) as hears, Publisher(engine_url=url) as publisher:
        hears.welcome()
        for number in range(4):
            publisher.publish("order:2", {"parcels": [number]})
            publisher.publish("status:2", number)
        passing = publisher.publish("cursor:2", "here", meta={"a": "b"})
        with pytest.raises(ValueError, match="ephemeral"):
            publisher.publish("cursor:2", "x" * 200_000)
        heard = hears.message()
        history = httpx.get(f"{server.url}/live/items/order:2/messages?token=alice").json()
        with server.client(socket("status:2")) as late:
            last = (late.welcome()["offset"], late.message()["data"])

    assert passing.offset == 0
    assert (heard["data"], heard["ephemeral"], heard["meta"]) == ("here", True, {"a": "b"})
    assert [one["data"]["parcels"] for one in history["messages"]] == [[2], [3]]
    assert last == (4, 3)


@pytest.mark.server
def test_does_without_rules_that_cannot_be_read(
    place: tuple[LiveServer, str], caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and publishes; a node that starts leaves its own rules again."""
    _, url = place

    async def spoil() -> None:
        engine = open_engine(url, RULES_BOUNDS)
        await engine.start(NO_SINK)
        try:
            draft = Draft("$rules", None, 0, msgspec.Raw(b'{"rules": 5}'))
            await answer_or_raise(partial(engine.publish, RULES_CHANNEL, draft))
        finally:
            await engine.stop()

    asyncio.run(spoil())
    with Publisher(engine_url=url) as publisher:
        publisher.publish("order:3", "no order")
    with (
        live_application(application(url)[0]),
        Publisher(engine_url=url) as publisher,
        pytest.raises(ValueError, match="data"),
    ):
        publisher.publish("order:3", "no order")

    assert "rules_unreadable" in caplog.text
    assert "rules_missing" not in caplog.text


def test_says_when_there_are_none_and_reads_them_when_there_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker may be there before the first server, and outlive many."""
    _, live = application("memory://")
    engines: list[MemoryEngine] = []

    def open_in_memory(_url: str, bounds: ChannelBounds, _name: str) -> MemoryEngine:
        engines.append(MemoryEngine(bounds))
        return engines[0]

    monkeypatch.setattr(publishing_ways, "open_engine", open_in_memory)
    monkeypatch.setattr(publishing_ways, "RULES_SECONDS", -1)
    message = OutgoingMessage("order:1", "no order", None, None)

    async def scene() -> None:
        way = EngineWay("redis://", Bounds(100, 1000, 300), "")
        await way.open()
        await way.publish([message])
        text = msgspec.Raw(written(live._rules, DEFAULT))
        leave = partial(engines[0].publish, RULES_CHANNEL, Draft("$rules", None, 0, text))
        await answer_or_raise(leave)
        with pytest.raises(MessageRefused):
            await way.publish([message])

    asyncio.run(scene())

    assert "rules_missing" in caplog.text


def test_reads_what_a_node_has_written() -> None:
    """The same bounds for every channel, and the same verdict on each message."""
    _, live = application("memory://")
    own = RuledBounds(DEFAULT, live._rules)

    read = SharedRules.read(written(live._rules, DEFAULT), Bounds(1, 1, 1, 5))

    for item in ("order:1", "sensor:1", "cursor:1", "status:1", "else"):
        assert read.of(f"item:{item}") == own.of(f"item:{item}")
        assert read.of_item(item).is_ephemeral == live._rules.of_item(item).is_ephemeral
    assert read.largest == own.largest
    assert read.of(RULES_CHANNEL) == own.of(RULES_CHANNEL) == RULES_BOUNDS


def rules(**changes: object) -> bytes:
    """Write one rule, and what the settings say."""
    rule = {"pattern": "order:{id}", **changes}
    return msgspec.json.encode(
        {"history": 1, "history_bytes": 1, "max_age": 1, "rules": [rule], "newer": True}
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"history": 1}', id="half"),
        pytest.param(rules(pattern="order:{"), id="no pattern"),
        pytest.param(rules(pattern="x" * 1000), id="long pattern"),
        pytest.param(rules(history=-1), id="negative"),
        pytest.param(rules(max_age="1"), id="a text"),
        pytest.param(b" " * MAX_BYTES + rules(), id="large"),
        pytest.param(
            msgspec.json.encode({"history": 1, "history_bytes": 1, "max_age": 1,
                                 "rules": [{"pattern": "a"}] * (MAX_RULES + 1)}), id="many"),
    ],
)  # fmt: skip
def test_refuses_what_no_node_has_written(text: bytes) -> None:
    """Whoever may write to the store may write this."""
    with pytest.raises(ValueError, match=r"."):
        SharedRules.read(text, DEFAULT)


@pytest.mark.parametrize("model", [{"type": "nope"}, {"$ref": "https://x.example/a"}, 5, "text"])
def test_does_without_a_model_that_cannot_be_used(
    model: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The other rules hold."""
    read = SharedRules.read(rules(model=model, history=7), DEFAULT)

    assert read.of_item("order:1").check is None
    assert read.of("item:order:1").messages == 7
    assert "model_unreadable" in caplog.text


def test_does_without_models_where_nothing_checks_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker may not have the extra; it says so for each pattern."""
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)

    read = SharedRules.read(rules(model={"type": "object"}, history=7), DEFAULT)

    assert read.of_item("order:1").refusal_of("no object") is None
    assert read.of("item:order:1").messages == 7
    assert "model_unchecked pattern='order:{id}'" in caplog.text


def test_a_node_leaves_its_rules_once(caplog: pytest.LogCaptureFixture) -> None:
    """The next one that starts finds them, and stores nothing."""
    app, live = application("memory://")

    async def scene() -> int:
        async with live.lifespan(app):
            node = live._running_node()
            for _ in range(3):
                await share_rules(node, live._rules, DEFAULT)
            read = await answer_or_raise(partial(node.history, RULES_ITEM, LAST))
            offset: int = read.position.offset
            return offset

    assert asyncio.run(scene()) == 1
    assert "rules" not in caplog.text
