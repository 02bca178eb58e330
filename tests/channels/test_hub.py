"""The fan-out: one order for all, one encoding a codec, no harm from slow clients."""

from __future__ import annotations

from collections import Counter

import pytest
from typing_extensions import override

from itemwire.channels.connection import Subscription
from itemwire.channels.delivery.recovery import Recovery
from itemwire.channels.hub import Hub
from itemwire.engines.base import History
from itemwire.messages import Event, Frame, Joined, Member, Position, Publication
from itemwire.wire.json_codec import JsonCodec
from itemwire.wire.plain_codec import PlainCodec
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action
from tests.fakes import (
    CHANNEL,
    EVERYTHING,
    ITEM,
    JSON,
    LIMITS,
    PLAIN,
    Clock,
    ManualTimers,
    Stage,
    draft,
    principal,
)

NEWS = Publication.of(draft(), 1)


class Counted:
    """Codecs that count what they encode."""

    def __init__(self) -> None:
        counts = self.counts = Counter[str]()

        class CountedJson(JsonCodec):
            @override
            def encode(self, event: Event) -> Frame:
                counts["json"] += 1
                return super().encode(event)

        class CountedPlain(PlainCodec):
            @override
            def encode(self, event: Event) -> Frame | None:
                counts["plain"] += 1
                return super().encode(event)

        self.json = CountedJson()
        self.plain = CountedPlain()


def test_encodes_once_per_codec_however_many_listen() -> None:
    """A fan-out costs what its codecs cost, not what its subscribers do (requirement 103)."""
    stage, timers, codecs = Stage(), ManualTimers(Clock()), Counted()
    hub = Hub(timers)
    transports = []
    for number in range(20):
        connection, transport = stage.connect(codec=codecs.plain if number % 2 else codecs.json)
        subscription = Subscription(connection, Grant(principal(), ITEM, EVERYTHING))
        hub.add(subscription, Recovery(1000), LIMITS)
        hub.go_live(subscription, Position("e", 0))
        transports.append(transport)

    hub.fan_out(CHANNEL, NEWS)
    timers.settle()

    assert codecs.counts == {"json": 1, "plain": 1}
    assert all(transport.frames[0] is transports[0].frames[0] for transport in transports[::2])
    assert {transport.frames[0] for transport in transports[1::2]} == {"hello"}


def test_encodes_once_what_a_codec_has_no_word_for() -> None:
    """Having no word for an event is an answer too, and asked for once."""
    stage, timers, codecs = Stage(), ManualTimers(Clock()), Counted()
    hub = Hub(timers)
    for _ in range(5):
        connection, _ = stage.connect(codec=codecs.plain)
        subscription = Subscription(connection, Grant(principal(), ITEM, EVERYTHING))
        hub.add(subscription, Recovery(1000), LIMITS)
        hub.go_live(subscription, Position("e", 0))

    hub.announce(CHANNEL, Joined(ITEM, Member("c9", "bob")))
    timers.settle()

    assert codecs.counts == {"plain": 1}


def test_delivers_to_a_held_subscription_only_through_its_recovery() -> None:
    """Until the history is there a live message would be ahead of older ones."""
    stage, timers, recovery = Stage(), ManualTimers(Clock()), Recovery(1000)
    hub = Hub(timers)
    connection, transport = stage.connect()
    subscription = Subscription(connection, Grant(principal(), ITEM, EVERYTHING))
    hub.add(subscription, recovery, LIMITS)
    hub.fan_out(CHANNEL, NEWS)
    timers.settle()
    frames_while_held = list(transport.frames)

    hub.go_live(subscription, Position("e", 0))
    hub.fan_out(CHANNEL, NEWS)
    timers.settle()

    assert frames_while_held == []
    assert recovery.merge(History(Position("e", 0), [], complete=True)).publications == [NEWS]
    assert len(transport.frames) == 1


def test_breaks_a_recovery_that_would_hold_too_much() -> None:
    """The engine takes its time over the history while the channel is flooded."""
    stage, timers = Stage(), ManualTimers(Clock())
    hub, recovery = Hub(timers), Recovery(len("hello"))
    connection, _ = stage.connect()
    hub.add(Subscription(connection, Grant(principal(), ITEM, EVERYTHING)), recovery, LIMITS)
    hub.fan_out(CHANNEL, NEWS)
    broken_before = recovery.is_broken
    hub.fan_out(CHANNEL, NEWS)

    assert not broken_before
    assert recovery.is_broken


def test_ends_a_whole_audience_that_stalls_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """As behind one proxy: each end is news for the others, and none of it may recurse."""
    stage = Stage()
    publisher = stage.join("publisher", can=frozenset({Action.SUBSCRIBE, Action.PUBLISH}))
    stalled = [stage.join(f"member-{number}", room=5_000) for number in range(500)]
    for peer in stalled:
        peer.transport.room = 1
    for _ in range(20):
        publisher.says("publish", data="x" * 2_000)

    assert {tuple(peer.transport.reasons) for peer in stalled} == {("slow_consumer",)}
    assert publisher.connection.is_open
    assert len(publisher.saw("reply")) == 20
    assert stage.known_members(ITEM).members == [publisher.session.subscription.member]
    assert "session_failed" not in caplog.text


def test_says_when_nobody_here_hears_a_channel_any_longer() -> None:
    """Then, and only then, the engine need not deliver it here."""
    stage, timers = Stage(), ManualTimers(Clock())
    hub = Hub(timers)
    held, live = (
        Subscription(stage.connect()[0], Grant(principal(), ITEM, EVERYTHING)) for _ in range(2)
    )
    hub.add(held, Recovery(1000), LIMITS)
    hub.add(live, Recovery(1000), LIMITS)
    hub.go_live(live, Position("e", 0))

    assert not hub.remove(live)
    assert hub.remove(held)
    assert not hub.remove(held)


def test_ignores_news_of_a_channel_that_nobody_hears() -> None:
    """An engine may still deliver what it had on the way when the last one left."""
    hub = Hub(ManualTimers(Clock()))
    hub.fan_out(CHANNEL, NEWS)
    hub.announce(CHANNEL, Joined(ITEM, Member("c9", "bob")))

    assert hub._audiences == {}


def test_tells_who_comes_only_to_those_who_may_see_it(stage: Stage) -> None:
    """Who watches an item is as private as what is said there."""
    watching = stage.join("alice")
    not_watching = stage.join("bob", can=EVERYTHING - {Action.PRESENCE})
    carol = stage.join("carol")
    carol.session.closed(1000)

    assert [one["member"]["subject"] for one in watching.saw("joined", "left")] == [
        "bob",
        "carol",
        "carol",
    ]
    assert not_watching.saw("joined", "left") == []


def test_keeps_channels_apart(stage: Stage) -> None:
    """The item id is the wall between two audiences."""
    here, there = stage.join(item="a"), stage.join(item="a:b")
    here.says("publish", data="for a")

    assert [one["data"] for one in here.saw("message")] == ["for a"]
    assert there.saw("message") == []


def test_gives_all_subscribers_the_same_bytes_in_the_same_order(stage: Stage) -> None:
    """One total order per item, the sender included."""
    peers = [stage.join(f"user-{number}") for number in range(5)]
    for round_ in range(20):
        peers[round_ % 5].says("publish", data=round_)

    heard = [
        [frame for frame in peer.transport.frames if '"type":"message"' in str(frame)]
        for peer in peers
    ]
    assert all(frames == heard[0] for frames in heard)
    assert [one["offset"] for one in peers[0].saw("message")] == list(range(1, 21))


def test_closes_a_stuck_subscriber_at_its_limit_and_harms_nobody_else(stage: Stage) -> None:
    """One client that never reads froze all others of FastAPI's tutorial."""
    well = [stage.join(f"well-{number}") for number in range(3)]
    stuck = stage.join("stuck", codec=PLAIN, room=1)
    limit = stage.node.limits.outbox_bytes
    for number in range(1 + limit // 1000):
        well[0].says("publish", data=f"{number:01000}")
    open_at_limit = stuck.connection.is_open

    well[0].says("publish", data="one too many")

    assert open_at_limit
    assert stuck.transport.reasons == ["slow_consumer"]
    for peer in well:
        assert [one["offset"] for one in peer.saw("message")] == list(range(1, 13))
        assert [one["member"]["subject"] for one in peer.saw("left")] == ["stuck"]


def test_tells_of_an_eviction_after_the_message_that_caused_it_in_one_order(stage: Stage) -> None:
    """Subscribers on both sides of the evicted in the walk must not see two histories."""
    peers = []
    for number in range(9):
        is_stuck = number % 3 == 1
        peers.append(stage.join(f"user-{number}", room=10 - number if is_stuck else None))
    stuck, well = peers[1::3], [peer for peer in peers if peer not in peers[1::3]]
    for number in range(30):
        well[0].says("publish", data=f"{number:01000}")

    seen = [peer.saw("message", "left") for peer in well]
    assert all(events == seen[0] for events in seen)
    assert [peer.transport.reasons for peer in stuck] == [["slow_consumer"]] * 3
    assert [one["offset"] for one in seen[0] if one["type"] == "message"] == list(range(1, 31))
    assert sorted(one["member"]["subject"] for one in seen[0] if one["type"] == "left") == [
        "user-1",
        "user-4",
        "user-7",
    ]


def test_survives_that_an_eviction_evicts_another(stage: Stage) -> None:
    """The news that one left may be what another has no room for."""
    well = stage.join("well")
    news = len(JSON.encode(NEWS) or "")
    limit = stage.node.limits.outbox_bytes
    first, second = stage.join("first", room=1), stage.join("second", room=1)
    first.connection.push("x" * (limit - news + 1))
    second.connection.push("x" * (limit - news - 10))

    well.says("publish", data="hello")

    assert first.transport.reasons == second.transport.reasons == ["slow_consumer"]
    assert [one["type"] for one in well.sees[3:]] == ["message", "reply", "left", "left"]
    assert well.says("members")["members"] == [{"connection": "c1", "subject": "well"}]


@pytest.mark.parametrize("codec", [JSON, PLAIN], ids=["json", "plain"])
def test_includes_the_sender_of_any_codec(stage: Stage, codec: JsonCodec | PlainCodec) -> None:
    """A sender's own log is a subscriber's log like any other."""
    sender = stage.join(codec=codec)
    stage.engine.publish(CHANNEL, draft("back to you"), lambda _: None)

    assert "back to you" in str(sender.transport.frames[-1])


def test_sockets_of_one_item_share_what_is_equal(stage: Stage) -> None:
    """Thousands of idle ones would each keep the strings that their handshakes have made."""
    names = ["".join(list("42")) for _ in range(2)]
    assert names[0] is not names[1]
    one, two = (stage.join(f"peer-{number}", item=name) for number, name in enumerate(names))

    first, second = one.session.subscription, two.session.subscription
    assert first.channel is second.channel
    assert first.item_id is second.item_id
    assert one.connection.due_at is two.connection.due_at
