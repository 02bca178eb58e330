"""A client that is behind: which messages are dropped, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.recovery import LIVE
from itemwire.channels.limits.slow_consumers import parse_slow_consumers
from itemwire.messages import Position, Publication
from itemwire.wire.base import Codec
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action
from tests.fakes import (
    CHANNEL,
    EVERYTHING,
    ITEM,
    JSON,
    LIMITS,
    PLAIN,
    Peer,
    Stage,
    draft,
    principal,
)

UNSEEN = EVERYTHING - {Action.PRESENCE}
FILLER = "x" * 500


def stage_with(rules: str) -> Stage:
    """Start a node with rules for slow readers; its outboxes hold some fifteen fillers."""
    return Stage(limits=replace(LIMITS, slow_consumers=parse_slow_consumers(rules)))


def publish(stage: Stage, count: int, item: str = ITEM) -> None:
    """Publish so many messages, each in a loop tick of its own."""
    for _ in range(count):
        stage.node.publish(principal("backend"), item, FILLER, None, lambda _: None)
        stage.settle()


def short(peer: Peer) -> list[str]:
    """List what reached a peer: offsets, gaps, and anything else by its type."""
    return [_short(one) for one in peer.sees]


def _short(one: dict[str, Any]) -> str:
    if one["type"] == "gap":
        return f"gap {one['from']}-{one['to']}"
    return str(one.get("offset") if one["type"] == "message" else one["type"])


def stuck(stage: Stage, codec: Codec = JSON) -> Peer:
    """Join as somebody whose transport has enough after the welcome."""
    peer = stage.join("stuck", can=UNSEEN, codec=codec, room=1)
    if codec is PLAIN:
        publish(stage, 1)
    return peer


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("drop_oldest", ["welcome", "gap 1-88", *map(str, range(89, 101))]),
        ("drop_newest", ["welcome", *map(str, range(1, 13)), "gap 13-100"]),
    ],
)
def test_drops_and_tells_in_place(word: str, expected: list[str]) -> None:
    """What it hears adds up to all that was published, and then it is live again."""
    stage = stage_with(word)
    peer = stuck(stage)
    publish(stage, 100)
    peer.drains()
    publish(stage, 2)

    assert short(peer) == [*expected, "101", "102"]
    assert peer.connection.is_open
    gap = peer.saw("gap")[0]
    assert (gap["item"], gap["epoch"]) == (ITEM, peer.saw("welcome")[0]["epoch"])


def test_goes_on_dropping_while_it_reads_a_little() -> None:
    """Each time it reads, it gets on; what it was sent is never told of as missing."""
    stage = stage_with("drop_newest")
    peer = stuck(stage)
    for _ in range(3):
        publish(stage, 30)
        peer.transport.room = 5
        peer.session.writable()
    peer.drains()

    heard = 0
    for one in peer.saw("message", "gap"):
        first, last = (one["offset"],) * 2 if "offset" in one else (one["from"], one["to"])
        assert first == heard + 1
        heard = last
    assert heard == 90
    assert len(peer.saw("gap")) > 1


@pytest.mark.parametrize("word", ["drop_oldest", "drop_newest"])
def test_drops_no_answer_and_nobody_who_came(word: str) -> None:
    """Only messages can be left out with a word: an answer that is missing is a hung client."""
    stage = stage_with(word)
    peer = stage.join("stuck", room=1)
    publish(stage, 50)
    stage.join("bob")
    peer.session.received('{"type":"ping","ref":7}')
    stage.settle()
    publish(stage, 50)
    peer.drains()

    kinds = [one["type"] for one in peer.sees]
    assert (kinds.count("joined"), kinds.count("pong")) == (1, 1)
    assert kinds.index("joined") < kinds.index("pong")


def test_ends_one_whose_answers_alone_are_too_many() -> None:
    """Who asks and never reads is no slow reader of messages: what it asked for is not dropped."""
    stage = stage_with("drop_oldest")
    peer = stuck(stage)
    publish(stage, 100)
    for _ in range(1000):
        peer.session.received('{"type":"ping"}')
    stage.settle()

    assert peer.transport.reasons == ["slow_consumer"]


@pytest.mark.parametrize("word", ["drop_oldest", "drop_newest"])
def test_disconnects_a_client_that_cannot_be_told(word: str) -> None:
    """A plain client has no word for a gap; a hole that it does not see is no delivery."""
    stage = stage_with(word)
    peer = stuck(stage, PLAIN)
    publish(stage, 10)
    open_within_the_limit = peer.connection.is_open
    publish(stage, 100)

    assert open_within_the_limit
    assert peer.transport.reasons == ["slow_consumer"]


def test_drops_by_the_rule_of_the_item() -> None:
    """One node has items of both kinds."""
    stage = stage_with("42=drop_oldest,*=disconnect")
    telemetry, chat = (stage.join("stuck", item=item, can=UNSEEN, room=1) for item in (ITEM, "7"))
    for item in (ITEM, "7"):
        publish(stage, 100, item)

    assert (telemetry.transport.reasons, chat.transport.reasons) == ([], ["slow_consumer"])


def many(stage: Stage, *items: str) -> tuple[Connection, Callable[[], list[dict[str, Any]]]]:
    """Take in a socket that hears several items and reads nothing, and a way to let it read."""
    connection, transport = stage.connect()
    for item in items:
        subscription = Subscription(connection, Grant(connection.principal, item, UNSEEN))
        stage.node.join(subscription, LIVE, lambda _: None)
    connection.paused()

    def read() -> list[dict[str, Any]]:
        connection.writable()
        seen = [msgspec.json.decode(frame) for frame in transport.frames]
        return [one for one in seen if one["type"] in {"message", "gap", "closing"}]

    return connection, read


def test_drops_on_a_socket_of_many_only_where_the_rule_says_so() -> None:
    """Telemetry leaves room for the chat beside it, of which nothing is missing."""
    stage = stage_with("telemetry:*=drop_oldest")
    connection, read = many(stage, "telemetry:7", "chat")
    publish(stage, 50, "telemetry:7")
    publish(stage, 3, "chat")
    publish(stage, 50, "telemetry:7")
    seen = read()

    assert connection.is_open
    assert [one["offset"] for one in seen if one.get("item") == "chat"] == [1, 2, 3]
    gaps = [(one["item"], one["from"]) for one in seen if one["type"] == "gap"]
    assert gaps == [("telemetry:7", 1)]


def test_disconnects_a_socket_of_many_for_an_item_that_is_not_to_be_dropped() -> None:
    """The chat alone is too much for it."""
    stage = stage_with("telemetry:*=drop_oldest")
    connection, read = many(stage, "telemetry:7", "chat")
    publish(stage, 100, "chat")

    assert not connection.is_open
    assert [one["reason"] for one in read()] == ["slow_consumer"]


def test_drops_for_who_joins_while_behind() -> None:
    """A socket that is full already may join an item whose messages can wait no more."""
    stage = stage_with("drop_oldest")
    connection, read = many(stage, "7")
    publish(stage, 50, "7")
    subscription = Subscription(connection, Grant(connection.principal, ITEM, UNSEEN))
    stage.node.join(subscription, LIVE, lambda _: None)
    publish(stage, 50)

    assert connection.is_open
    assert {one["item"] for one in read() if one["type"] == "gap"} == {"7", ITEM}


def test_tells_of_what_the_node_lost_beside_what_was_dropped() -> None:
    """Both are gaps, of their own epochs and in their order; no message is in two."""
    stage = stage_with("drop_newest")
    peer = stuck(stage)
    publish(stage, 20)
    stage.node._lose(CHANNEL, Position("another", 5))
    stage.settle()
    for offset in (6, 7):
        stage.node._hub.fan_out(CHANNEL, Publication.of(draft(FILLER), offset))
    stage.settle()
    peer.drains()

    gaps = [(one["epoch"], one["from"], one["to"]) for one in peer.saw("gap")]
    first = peer.saw("welcome")[0]["epoch"]
    assert gaps == [(first, 13, 20), ("another", 1, 5), ("another", 6, 7)]


def test_says_in_the_log_what_it_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """One line when it reads again: an operator sees who is slow, not each message."""
    caplog.set_level("INFO", "itemwire.channels")
    stage = stage_with("drop_oldest")
    peer = stuck(stage)
    publish(stage, 100)
    peer.drains()

    assert [one.getMessage() for one in caplog.records] == ["caught_up connection=c1 dropped=88"]


def test_steps_over_items_without_news_when_it_answers() -> None:
    """A socket of a hundred items answers in the order of the one that has something pending."""
    stage = Stage()
    connection, transport = stage.connect()
    for number in range(100):
        subscription = Subscription(connection, Grant(connection.principal, str(number), UNSEEN))
        stage.node.join(subscription, LIVE, lambda _: None)
    stage.settle()
    before = len(transport.frames)
    for item in ("7", "9"):
        stage.node.publish(principal("backend"), item, "x", None, lambda _: None)
    connection.push("answer")

    seen = transport._frames[before:]
    assert [msgspec.json.decode(one)["item"] for one in seen[:2]] == ["7", "9"]
    assert seen[2:] == ["answer"]
