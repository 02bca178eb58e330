"""At a limit a client gets an error if its codec has one; else it is closed."""

from __future__ import annotations

import pytest

from itemwire.channels.limits.bounds import Limits, RateLimits
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.close_reasons import RATE_LIMITED
from itemwire.engines.base import EngineError
from itemwire.messages import Position
from itemwire.wire.base import Codec
from tests.fakes import EVERYTHING, ITEM, JSON, LIMITS, PLAIN, Close, ItemRules, Stage

LIMITED = Close(RATE_LIMITED.code, RATE_LIMITED.reason)


@pytest.fixture
def limited() -> Stage:
    """Give a node where each connection may publish twice at once, and once a second."""
    return Stage(rate_limits=RateLimits(publish=1, history=1, request=100, bytes=100_000))


def test_a_publish_past_the_rate_is_refused_with_when_to_come_back(limited: Stage) -> None:
    """An error first; what was refused reached nobody, what comes later does (requirement 91)."""
    alice = limited.join()
    stored = [alice.says("publish", data=n, ref=n)["type"] for n in range(2)]

    refused = alice.says("publish", data=2, ref=2)

    assert stored == ["reply", "reply"]
    assert refused.pop("detail")
    assert refused == {
        "type": "error",
        "code": "rate_limited",
        "temporary": True,
        "ref": 2,
        "retry_after_ms": 1000,
    }
    limited.clock.now += 1
    assert alice.says("publish", data=3, ref=3)["offset"] == 3
    assert [message["data"] for message in alice.saw("message")] == [0, 1, 3]
    assert alice.transport.closes == []


def test_who_goes_on_regardless_is_closed(limited: Stage) -> None:
    """Then 1008, with a verdict that says `later` (requirement 91)."""
    alice = limited.join()

    for number in range(50):
        alice.says("publish", data=number)

    assert alice.transport.closes == [LIMITED]
    assert alice.sees[-1]["type"] == "closing"
    assert alice.sees[-1]["retry"] == "later"


def test_a_plain_client_past_the_rate_is_closed(limited: Stage) -> None:
    """It has no words in which to hear of it, and to drop a message silently would be a lie."""
    alice = limited.join(codec=PLAIN)
    for text in ("one", "two"):
        alice.session.received(text)
    assert alice.transport.closes == []

    alice.session.received("three")

    assert alice.transport.closes == [LIMITED]
    assert alice.transport.frames == ["one", "two"]


def test_history_has_a_rate_of_its_own(limited: Stage) -> None:
    """A short request with a long answer is an amplifier (requirement 98)."""
    alice = limited.join()

    kinds = [alice.says("history")["type"] for _ in range(3)]

    assert kinds == ["reply", "reply", "error"]
    assert alice.says("members")["type"] == "reply"


@pytest.mark.parametrize("frame", ["{", '{"type":"ping"}'], ids=["malformed", "ping"])
def test_what_is_nothing_else_is_limited_together(frame: str) -> None:
    """A flood of pings, or of what no one can read, is answered in measure (requirement 92)."""
    stage = Stage(rate_limits=RateLimits(request=1))
    alice = stage.join()

    for _ in range(3):
        alice.session.received(frame)

    codes = [envelope.get("code") for envelope in alice.saw("error", "pong")]
    assert codes[2] == "rate_limited"
    assert "rate_limited" not in codes[:2]


@pytest.mark.parametrize("codec", [JSON, PLAIN])
def test_pings_of_the_protocol_are_limited_with_the_rest(codec: Codec) -> None:
    """Past the rate they are not answered, and in the end it is over (requirement 92)."""
    stage = Stage(rate_limits=RateLimits(request=2))
    alice = stage.join(codec=codec)

    told = [alice.session.pinged(4) for _ in range(6)]

    assert told == [False] * 4 + [True] * 2
    assert alice.transport.closes == []
    stage.clock.now += 1
    assert not alice.session.pinged(4)
    for _ in range(100):
        alice.session.pinged(4)
    assert alice.transport.closes == [LIMITED]
    assert not alice.session.pinged(4)
    assert alice.connection.buckets is None


def test_pings_have_no_limit_where_nothing_has() -> None:
    """The twin."""
    alice = Stage().join()

    assert not any(alice.session.pinged(125) for _ in range(10_000))


def test_a_flood_to_one_item_costs_others_nothing() -> None:
    """What is refused is not fanned out, and each publisher has its own rate (requirement 102)."""
    stage = Stage(rate_limits=RateLimits(publish=5))
    mallory, bob = stage.join("mallory"), stage.join("bob")
    carol = stage.join("carol", item="other")

    for number in range(60):
        mallory.says("publish", data=number)

    assert len(bob.saw("message")) == 10
    assert bob.says("publish", data="mine")["type"] == "reply"
    assert carol.says("publish", data="mine")["type"] == "reply"


@pytest.fixture
def crowded() -> Stage:
    """Give a node on which what a subject publishes may reach ten subscribers a second."""
    stage = Stage(rate_limits=RateLimits(publish=1000, deliveries=10))
    for number in range(8):
        stage.join(f"listening-{number}")
    return stage


def test_a_publisher_that_reaches_too_many_is_told_when_to_go_on(crowded: Stage) -> None:
    """It reaches nobody, the socket stays, and the wait is right (requirement 128)."""
    mallory, bob = crowded.join("mallory"), crowded.join("bob")
    kinds = [mallory.says("publish", data=n, ref=n)["type"] for n in range(3)]

    refused = mallory.saw("error")[-1]

    assert kinds == ["reply", "reply", "error"]
    assert len(bob.saw("message")) == 2
    assert (refused["code"], refused["temporary"], refused["ref"]) == ("rate_limited", True, 2)
    assert refused["retry_after_ms"] == 1000
    assert bob.says("publish", data="mine")["type"] == "reply"
    crowded.clock.now += refused["retry_after_ms"] / 1000
    assert mallory.says("publish", data="again")["type"] == "reply"
    assert mallory.transport.closes == []


def test_deliveries_count_over_all_items_and_sockets_of_a_subject(crowded: Stage) -> None:
    """Many small audiences are one large one; and few subscribers cost little (requirement 128)."""
    mallory, alone = crowded.join("mallory"), crowded.join("mallory", item="alone")
    crowded.join("carol", item="other")
    many = crowded.open(ItemRules({"other": EVERYTHING}), "mallory")
    many.joins("other")

    kinds = [mallory.says("publish", data=0)["type"] for _ in range(2)]  # nine subscribers each
    kinds += [alone.says("publish", data=0)["type"] for _ in range(2)]  # one
    refused = many.says("publish", item="other", data=0, ref=1)

    assert kinds == ["reply"] * 4
    assert (refused["code"], refused["ref"]) == ("rate_limited", 1)
    assert crowded.join("bob", item="alone").says("publish", data=0)["type"] == "reply"


def test_a_plain_client_that_reaches_too_many_is_closed(crowded: Stage) -> None:
    """It could not be told; up to there each of its messages is heard."""
    mallory = crowded.join("mallory", codec=PLAIN)
    for text in ("one", "two"):
        mallory.session.received(text)
    assert mallory.transport.closes == []

    mallory.session.received("three")

    assert mallory.transport.closes == [LIMITED]
    assert mallory.transport.frames == ["one", "two"]


def test_who_goes_on_reaching_too_many_is_closed(crowded: Stage) -> None:
    """Past ten times the rate, as with other rates."""
    mallory = crowded.join("mallory")

    for number in range(100):
        mallory.says("publish", data=number)

    assert mallory.transport.closes == [LIMITED]


def test_what_the_application_publishes_takes_no_deliveries(crowded: Stage) -> None:
    """Its own code knows its audience; and it takes nothing from the subject that it names."""
    mallory, stored = crowded.join("mallory"), list[Position | EngineError]()
    for number in range(50):
        crowded.node.publish(mallory.connection.principal, ITEM, str(number), None, stored.append)

    assert [one for one in stored if isinstance(one, EngineError)] == []
    assert len(mallory.saw("message")) == 50
    assert mallory.says("publish", data="mine")["type"] == "reply"


def test_the_end_of_a_connection_ends_its_budget(limited: Stage) -> None:
    """By whatever way: what is kept for it goes with it."""
    alice = limited.join()
    alice.says("publish", data=1)
    rates = limited.node.rates
    assert rates is not None
    assert alice.connection.buckets is not None

    alice.session.closed(1000)
    limited.clock.now += 60
    limited.node.tick()

    assert alice.connection.buckets is None
    assert not rates._subjects


def test_a_socket_gives_its_place_back_when_it_is_gone(stage: Stage) -> None:
    """Once, and not while its close is still on the way: it has a descriptor until then."""
    slots, alice = ConnectionSlots(), stage.join()
    slot = slots.acquire("192.0.2.1")
    alice.session.slot = slot  # type: ignore[assignment] # no reason: there is no limit
    alice.connection.end(RATE_LIMITED)
    assert slots.in_use == 1

    alice.session.closed(1008)
    alice.session.closed(1006)

    assert slots.in_use == 0


def limits(max_channels: int = 0, max_subscribers: int = 0) -> Limits:
    """Return the tests' limits with these two."""
    return Limits(
        max_message_bytes=LIMITS.max_message_bytes,
        outbox_bytes=LIMITS.outbox_bytes,
        history_limit=LIMITS.history_limit,
        ping_interval=LIMITS.ping_interval,
        max_channels=max_channels,
        max_subscribers=max_subscribers,
    )


def test_a_node_hears_so_many_channels_and_no_more() -> None:
    """Past it `overloaded`; those that are heard take on, and room comes back (requirement 96)."""
    stage = Stage(limits=limits(max_channels=2))
    first, _ = stage.join(item="1"), stage.join(item="2")

    refused = stage.join(item="3")

    assert refused.transport.closes == [Close(1013, "overloaded")]
    assert stage.join(item="2").saw("welcome")
    first.session.closed(1000)
    assert stage.join(item="3").saw("welcome")


def test_an_item_is_heard_by_so_many_and_no_more() -> None:
    """The entries of its presence; another item is not concerned (requirement 96)."""
    stage = Stage(limits=limits(max_subscribers=2))
    first, _ = stage.join(), stage.join("bob")

    refused = stage.join("carol")

    assert refused.transport.closes == [Close(1013, "overloaded")]
    assert len(first.says("members")["members"]) == 2
    assert stage.join("carol", item="other").saw("welcome")
    first.session.closed(1000)
    assert stage.join("carol").saw("welcome")


def test_those_who_are_on_their_way_are_counted(late_stage: Stage) -> None:
    """Else many who come at once would get past the limit while the engine thinks."""
    late_stage.node.limits = limits(max_subscribers=2)
    peers = [late_stage.join(f"s{number}") for number in range(3)]

    assert [peer.transport.reasons for peer in peers] == [[], [], ["overloaded"]]
