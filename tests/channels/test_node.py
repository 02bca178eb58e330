"""A node: joins, leaves and expiry, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from itemwire.channels.delivery.recovery import StartPoint
from itemwire.channels.environment import new_connection_id
from itemwire.channels.node import Node
from itemwire.close_reasons import SLOW_CONSUMER
from itemwire.engines.memory import MemoryEngine
from itemwire_auth.scopes import Action
from tests.fakes import (
    BOUNDS,
    CHANNEL,
    EVERYTHING,
    ITEM,
    LIMITS,
    NOW,
    PLAIN,
    LateEngine,
    RecordingTransport,
    Stage,
    draft,
)


def test_is_not_ready_while_its_engine_is_away() -> None:
    """A load balancer then sends clients elsewhere, and back again (requirement 107)."""
    engine = LateEngine()
    stage = Stage(engine)
    seen = [stage.node.is_ready]
    for engine.is_away in (True, False):
        seen.append(stage.node.is_ready)

    assert seen == [True, False, True]


def test_is_ready_between_start_and_stop() -> None:
    """A load balancer asks, and must not send anybody to a node without its engine."""

    async def readiness() -> list[bool]:
        node = Node(MemoryEngine(BOUNDS), LIMITS)
        seen = [node.is_ready]
        await node.start()
        seen.append(node.is_ready)
        await node.stop()
        return [*seen, node.is_ready]

    assert asyncio.run(readiness()) == [False, True, False]


def test_gives_no_two_transports_one_id() -> None:
    """Presence tells transports apart by it, on all nodes."""
    assert len({new_connection_id() for _ in range(1000)}) == 1000


def test_welcomes_with_who_what_and_where(stage: Stage) -> None:
    """Everything a client must know to go on, in its first envelope."""
    stage.engine.publish(CHANNEL, draft(), lambda _: None)
    peer = stage.join("alice", can=frozenset({Action.PRESENCE, Action.SUBSCRIBE}))

    (welcome,) = peer.sees
    epoch = welcome.pop("epoch")
    assert isinstance(epoch, str)
    assert epoch
    assert welcome.pop("resume").startswith(f"{epoch}.1.")
    assert welcome == {
        "type": "welcome",
        "connection": "c1",
        "subject": "alice",
        "item": ITEM,
        "can": ["subscribe", "presence"],
        "offset": 1,
        "was_recovering": False,
        "recovered": False,
        "members": [{"connection": "c1", "subject": "alice"}],
        "member_count": 1,
        "expires_at": int(NOW) + 3600,
        "ping_interval": 20,
        "max_message_bytes": LIMITS.max_message_bytes,
    }


def test_welcomes_without_members_who_may_not_see_them(stage: Stage) -> None:
    """The right `presence` is not implied by any other."""
    stage.join("alice")
    peer = stage.join("bob", can=EVERYTHING - {Action.PRESENCE})

    assert peer.sees[0].keys().isdisjoint({"members", "member_count"})


def test_tells_others_of_a_joiner_and_the_joiner_by_its_welcome(stage: Stage) -> None:
    """Its own `joined` would be news that it already has."""
    alice = stage.join("alice")
    bob = stage.join("bob")

    assert [one["member"]["subject"] for one in alice.saw("joined")] == ["bob"]
    assert bob.saw("joined") == []
    assert [one["subject"] for one in bob.sees[0]["members"]] == ["alice", "bob"]


@pytest.mark.parametrize(
    ("replay", "offsets"),
    [
        pytest.param(0, [], id="none"),
        pytest.param(3, [68, 69, 70], id="some"),
        pytest.param(1000, list(range(21, 71)), id="as-much-as-the-limit-allows"),
    ],
)
def test_replays_the_newest_messages_after_the_welcome(
    stage: Stage, replay: int, offsets: list[int]
) -> None:
    """A replay is no amplifier: it has the limit of any reading of history (requirement 98)."""
    for _ in range(70):
        stage.engine.publish(CHANNEL, draft(), lambda _: None)
    peer = stage.join(start=StartPoint(replay=replay))

    welcome, *messages = peer.sees
    assert welcome["offset"] == 70
    assert [one["offset"] for one in messages] == offsets


def test_does_not_end_a_client_for_the_replay_it_asked_for(stage: Stage) -> None:
    """It cannot have read yet: `slow_consumer` is for who did not read, and says to come back."""
    payload = "x" * 1000
    for _ in range(1 + LIMITS.outbox_bytes // len(payload)):
        stage.engine.publish(CHANNEL, draft(payload), lambda _: None)
    peer = stage.join(start=StartPoint(replay=50), room=1)
    peer.drains()

    assert peer.transport.reasons == []
    assert len(peer.saw("message")) == 11


def test_ends_a_connection_when_its_token_expires(stage: Stage) -> None:
    """Within two seconds after `exp` (requirement 68), and other sockets stay."""
    short, long = stage.join("short", life=10), stage.join("long", life=20)
    stage.clock.now = NOW + 9.9
    stage.node.tick()
    open_before = short.connection.is_open
    stage.clock.now = NOW + 10
    stage.node.tick()
    long.says("publish", data="after")

    assert open_before
    assert short.transport.reasons == ["token_expired"]
    assert short.saw("message") == []
    assert long.connection.is_open
    assert [one["type"] for one in long.sees[1:]] == ["left", "message", "reply"]


def test_ends_a_connection_once_when_the_clock_jumps_back(stage: Stage) -> None:
    """A step of the clock makes no socket immortal and ends none twice (requirement 57)."""
    peer = stage.join(life=10)
    for now in (NOW + 3600, NOW, NOW + 3600):
        stage.clock.now = now
        stage.node.tick()

    assert peer.transport.reasons == ["token_expired"]


@pytest.mark.parametrize("broken", ["subscribe", "read"])
def test_ends_a_join_that_the_engine_fails(
    late_stage: Stage, late_engine: LateEngine, broken: str
) -> None:
    """A socket that hears nothing must not look like one where nothing happens."""
    late_engine.broken.add(broken)
    peer = late_stage.join()
    late_engine.settle()

    assert peer.transport.reasons == ["overloaded"]
    assert [one["type"] for one in peer.sees] == ["closing"]
    assert late_engine.heard == set()
    assert_empty(late_stage)


def test_finishes_a_join_that_the_engine_does_not_fail(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """The twin of the failed join: late is not failed."""
    peer = late_stage.join()
    late_engine.settle()

    assert peer.connection.is_open
    assert [one["type"] for one in peer.sees] == ["welcome"]


@pytest.mark.parametrize("steps", range(5))
def test_forgets_a_client_that_leaves_while_it_joins(
    late_stage: Stage, late_engine: LateEngine, steps: int
) -> None:
    """An answer that comes too late must not bring back who has left."""
    peer = late_stage.join("passing")
    late_engine.step(min(steps, 4))
    frames = list(peer.transport.frames)
    peer.session.closed(1001)
    late_engine.settle()

    assert peer.transport.frames == frames
    assert_empty(late_stage)


def test_makes_nobody_who_failed_to_join_a_member(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """Others see neither a `joined` nor a `left` of somebody who was never there."""
    watching = late_stage.join("watching")
    late_engine.settle()
    late_engine.broken.add("read")
    late_stage.join("failing")
    late_engine.settle()

    assert watching.saw("joined", "left") == []
    assert watching.connection.is_open


def test_stops_hearing_a_channel_when_the_last_one_leaves(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """The engine carries a channel to the nodes that need it, no longer and no shorter."""
    first, second = late_stage.join(), late_stage.join()
    late_engine.settle()
    first.session.closed(1000)
    heard_by_one = set(late_engine.heard)
    second.session.closed(1000)

    assert heard_by_one == {CHANNEL}
    assert late_engine.heard == set()


def test_publishes_in_the_name_of_the_principal_at_the_time_of_the_server(stage: Stage) -> None:
    """`sender` and `sent_at` are the server's words (requirement 63)."""
    peer = stage.join("alice")
    stage.clock.now = NOW + 0.123456
    peer.says("publish", data={"sender": "mallory", "sent_at": 0})

    (message,) = peer.saw("message")
    assert message["sender"] == "alice"
    assert message["sent_at"] == NOW + 0.123


def test_leaves_nothing_behind_after_a_thousand_joins_and_leaves(stage: Stage) -> None:
    """Hub, presence, deadlines and engine are back to where they were (requirement 99)."""
    transports: list[weakref.ref[RecordingTransport]] = []
    for number in range(1000):
        peer = stage.join(f"user-{number}", item=f"item-{number % 500}", life=10)
        peer.says("publish", data="hello")
        if number % 3 == 0:
            peer.session.closed(1000)
        elif number % 3 == 1:
            peer.session.received("x" * (LIMITS.max_message_bytes + 1))
        else:
            stage.clock.now += 10
            stage.node.tick()
        peer.session.closed(1006)
        transports.append(weakref.ref(peer.transport))
    del peer
    gc.collect()
    stage.clock.now += 301
    stage.engine.publish(CHANNEL, draft(), lambda _: None)

    assert_empty(stage)
    assert [one for one in transports if one() is not None] == []
    assert isinstance(stage.engine, MemoryEngine)
    assert list(stage.engine._idle) == [CHANNEL]
    assert stage.engine._subscribed == {}


def test_leaves_nothing_behind_of_the_stuck(stage: Stage) -> None:
    """An eviction in the middle of a fan-out is a leave like any other."""
    for number in range(100):
        stage.join(f"user-{number}", room=1, codec=PLAIN)
    for _ in range(3):
        stage.engine.publish(CHANNEL, draft("x" * 6000), lambda _: None)
        stage.settle()

    assert_empty(stage)


def assert_empty(stage: Stage) -> None:
    """Say that the node remembers nobody."""
    node = stage.node
    assert node._hub._audiences == {}
    assert (node._presence._listed, node._presence._unlisted) == ({}, {})
    assert not any(node._expiry._deadlines._due.values())


def test_tells_nobody_whose_own_time_is_up_of_the_others() -> None:
    """After expiry nothing more reaches a socket, and a crowd's end stays linear."""
    stage = Stage()
    crowd = [stage.join(f"short-{number}", life=10) for number in range(3)]
    staying = stage.join("long", life=20)
    stage.clock.now = NOW + 10
    stage.node.tick()

    assert [peer.saw("left") for peer in crowd] == [[], [], []]
    assert len(staying.saw("left")) == 3
    assert [peer.transport.reasons for peer in crowd] == [["token_expired"]] * 3


@pytest.mark.parametrize(("late", "is_open"), [(59, True), (60, False)])
def test_lets_stay_for_the_leeway_that_it_lets_in_with(late: int, is_open: bool) -> None:
    """Else a client whose issuer's clock is behind would be let in and thrown out in turns."""
    stage = Stage(leeway=60)
    peer = stage.join(life=0)
    stage.clock.now = NOW + late
    stage.node.tick()

    assert peer.connection.is_open is is_open


def test_logs_how_each_connection_ended_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Limits, revocations, clients that went: each with its reason (requirement 104)."""
    caplog.set_level("INFO")
    slow, gone = stage.join("a\nb"), stage.join("bob")
    slow.connection.end(SLOW_CONSUMER)
    slow.session.closed(1008)
    gone.session.closed(1001)

    assert [line for line in caplog.messages if line.startswith("ended")] == [
        "ended connection=c1 subject='a\\nb' reason=slow_consumer code=1008",
        "ended connection=c2 subject='bob' reason=gone code=1001",
    ]
