"""Joins that begin in the past, on a socket of many items: their rate, order and memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itemwire.channels.limits.bounds import RateLimits
from itemwire.channels.sessions.replay_queue import ReplayQueue
from itemwire.engines.base import EngineError
from itemwire.messages import Position
from tests.channels.sessions.test_many_items import codes, join
from tests.fakes import EVERYTHING, LIMITS, NOW, ItemRules, LateEngine, ManyPeer, Stage, principal

ITEMS = [f"item-{number}" for number in range(10)]
PAYLOAD = "x" * 1000
MESSAGES = 9  # of each item: nearly an outbox
READING = "alice"


@pytest.fixture
def rules() -> ItemRules:
    """Rules by which all items may be joined."""
    return ItemRules(dict.fromkeys(ITEMS, EVERYTHING))


def fill(stage: Stage) -> None:
    """Give every item a past."""

    def answered(_: Position | EngineError) -> None: ...

    for item in ITEMS:
        for _ in range(MESSAGES):
            stage.node.publish(
                principal("bob", int(NOW) + 3600), item, f'"{PAYLOAD}"', None, answered
            )
    stage.settle()


def waiting(many: ManyPeer) -> int:
    """Count the bytes that wait for a client, whether they count towards a limit or not."""
    outbox = many.connection.outbox
    return 0 if outbox is None else sum(len(one.chunk) for one in outbox._waiting)


@pytest.mark.parametrize("start", [{"replay": 50}, {"replay": 50, "since": "x:0"}])
def test_a_client_that_does_not_read_makes_the_server_keep_one_replay(
    rules: ItemRules, start: dict[str, object]
) -> None:
    """However often it joins and leaves (requirement 126); one that reads gets all of them."""
    stage = Stage()
    fill(stage)
    many = stage.open(rules, room=1)
    most = 0
    for item in ITEMS * 5:
        many.session.received(join(item, **start))
        many.session.received(join(item, **start).replace("join", "leave"))
        most = max(most, waiting(many))
    reading = stage.open(rules, READING, room=1)
    for item in ITEMS:
        reading.session.received(join(item, **start))
    while reading.connection.outbox is not None:
        reading.transport.room = 3
        reading.session.writable()

    assert LIMITS.outbox_bytes / 2 < most < 2 * LIMITS.outbox_bytes
    assert [one["item"] for one in reading.saw("welcome")] == ITEMS
    assert len(reading.saw("message")) == len(ITEMS) * MESSAGES
    assert reading.transport.reasons == []


def test_one_that_waits_is_asked_about_again_after_a_refresh(rules: ItemRules) -> None:
    """The old token gives no right any more (requirement 69)."""
    stage = Stage()
    fill(stage)
    many = stage.open(rules, room=1)
    for item in ITEMS[:3]:
        many.session.received(join(item, replay=50, ref=item))
    del rules.can[ITEMS[1]]
    many.session.received('{"type":"refresh","token":"alice","ref":"refresh"}')
    while many.connection.outbox is not None:
        many.drains()

    assert [one["item"] for one in many.saw("welcome")] == [ITEMS[0], ITEMS[2]]
    assert codes(many.saw("error")) == [(ITEMS[1], "forbidden")]
    assert [one["ref"] for one in many.saw("reply")] == ["refresh"]


def test_one_that_fails_lets_the_next_begin(late_engine: LateEngine, rules: ItemRules) -> None:
    """Whatever becomes of a replay, the others have their turn."""
    stage = Stage(late_engine)
    many = stage.open(rules)
    late_engine.broken.add("read")
    for item in ITEMS[:2]:
        many.session.received(join(item, replay=1, ref=item))
    late_engine.step(4)
    late_engine.broken.clear()
    late_engine.settle()

    assert codes(many.saw("error")) == [(ITEMS[0], "overloaded")]
    assert [one["ref"] for one in many.saw("welcome")] == [ITEMS[1]]


@pytest.mark.parametrize("start", [{"replay": 1}, {"since": "x:0"}, {"replay": 1, "since": "x:0"}])
def test_spends_the_rate_of_history(rules: ItemRules, start: dict[str, object]) -> None:
    """As a handshake with them does (requirement 125); a join that begins now spends none."""
    stage = Stage(limits=replace(LIMITS), rate_limits=RateLimits(history=1, join=100))
    many = stage.open(rules)
    for item in ITEMS[:3]:
        many.session.received(join(item, ref=item, **start))
    welcome = many.joins(ITEMS[3])
    stage.clock.now += 1
    later = many.joins(ITEMS[2], **start)
    refused = many.saw("error")

    assert codes(refused) == [(ITEMS[2], "rate_limited")]
    assert refused[0]["retry_after_ms"] > 0
    assert (welcome["type"], later["type"]) == ("welcome", "welcome")


def test_many_replays_that_are_over_at_once_begin_one_after_the_other(stage: Stage) -> None:
    """Not each within the one before: thousands of them would end the connection by a fault."""
    replays = ReplayQueue(stage.join().connection)
    begun: list[int] = []

    def begin() -> None:
        begun.append(len(begun))
        replays.done()

    replays.submit(lambda: None)
    for _ in range(5000):
        replays.submit(begin)
    replays.done()

    assert begun == list(range(5000))
