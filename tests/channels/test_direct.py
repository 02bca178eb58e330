"""Messages to one caller: who gets them, and what the others are told of a loss."""

from __future__ import annotations

import pytest

from itemwire.channels.direct import DIRECT_CHANNEL, addressed_to
from itemwire.channels.names import DIRECT_ITEM
from itemwire.messages import Draft, Payload, Position, Publication
from tests.fakes import PLAIN, LateEngine, Peer, Stage


def direct(stage: Stage, subject: str, data: Payload) -> None:
    """Send to a caller, as the application's code does."""
    caller = stage.join(subject).connection.principal.identity
    stage.node.publishing.from_code(DIRECT_ITEM, addressed_to(caller, data), lambda _: None)


def receiving() -> Stage:
    """Give a node that receives direct messages."""
    stage = Stage()
    stage.node.direct.open()
    return stage


def test_reaches_whoever_came_before_and_after_the_first() -> None:
    """The index of callers begins with the first message."""
    stage = receiving()
    peers = [stage.join("alice"), stage.join("bob")]
    direct(stage, "carol", "one")
    peers.append(stage.join("alice"))
    direct(stage, "alice", "two")

    assert [[one["data"] for one in peer.saw("direct")] for peer in peers] == [["two"], [], ["two"]]


def test_forgets_who_left() -> None:
    """A caller without a socket leaves nothing behind."""
    stage = receiving()
    alice = stage.join("alice")
    direct(stage, "alice", "one")
    identity = alice.connection.principal.identity
    for one in stage.node._registry.of_caller(identity):
        one.lost()

    assert stage.node._registry.of_caller(identity) == []
    assert stage.node._registry._by_caller == {}


def test_a_plain_client_gets_none() -> None:
    """It could not tell them from the messages of its item."""
    stage = receiving()
    plain = stage.join("alice", codec=PLAIN)
    direct(stage, "alice", "one")

    assert plain.transport.frames == []


def test_comes_after_what_the_channel_has_sent() -> None:
    """In the order in which code published."""
    stage = receiving()
    alice: Peer = stage.join("alice")
    stage.node.publishing.from_code(alice.session.subscription.item_id, "first", lambda _: None)
    direct(stage, "alice", "second")

    assert [one["data"] for one in alice.saw("message", "direct")] == ["first", "second"]


@pytest.mark.parametrize("data", ["text", b"", b"\x93\x01", b"\xff"])
def test_what_has_no_addressee_is_logged_and_dropped(
    data: Payload, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody else may write under our names."""
    stage = receiving()
    alice = stage.join("alice")
    stage.node.publishing.from_code(DIRECT_ITEM, data, lambda _: None)
    direct(stage, "alice", "good")

    assert "direct_unreadable" in caplog.text
    assert [one["data"] for one in alice.saw("direct")] == ["good"]


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        pytest.param([Position("e", 7)], 1, id="first"),
        pytest.param([Position("e", 7), Position("e", 9)], 2, id="again"),
        pytest.param([Position("e", 7), Position("f", 0)], 2, id="new-epoch"),
        pytest.param([Position("e", 0), Position("f", 0)], 0, id="never-used"),
    ],
)
def test_a_loss_is_told_to_every_socket(lost: list[Position], told: int) -> None:
    """Nobody knows whose messages they were; it is no gap of the items that sockets are on."""
    stage = receiving()
    alice = stage.join("alice")
    for position in lost:
        stage.node.direct.report_loss(DIRECT_CHANNEL, position)
    stage.node.direct.report_loss("item:other", Position("e", 3))

    assert alice.saw("direct_lost") == [{"type": "direct_lost"}] * told
    assert alice.saw("gap") == []


def test_a_new_epoch_is_a_loss_where_messages_were_received() -> None:
    """The store has forgotten them, and perhaps others behind them."""
    stage = receiving()
    alice = stage.join("alice")
    stage.node.direct.receive(DIRECT_CHANNEL, Publication.of(Draft(DIRECT_ITEM, None, 0, "x"), 4))
    stage.node.direct.report_loss(DIRECT_CHANNEL, Position("f", 0))

    assert len(alice.saw("direct_lost")) == 1


def test_subscribes_again_until_it_is_heard() -> None:
    """An engine that is away at the start is there later."""
    engine = LateEngine()
    engine.broken.add("subscribe")
    stage = Stage(engine)
    stage.node.direct.open()
    engine.settle()
    seen = [DIRECT_CHANNEL in engine.heard]
    engine.broken.clear()
    stage.node.tick()
    engine.settle()
    stage.node.tick()

    assert [*seen, DIRECT_CHANNEL in engine.heard] == [False, True]
