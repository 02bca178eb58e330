"""Signs of life: as often as a client asked for them, and for nobody else."""

from __future__ import annotations

import pytest

from itemwire.channels.client_options import ClientOptions
from tests.fakes import EVERYTHING, ITEM, PLAIN, ItemRules, ManyPeer, Peer, Stage

EVERY_FIVE = ClientOptions(heartbeat=5)


@pytest.fixture
def stage() -> Stage:
    """A node that ticks when a test says so."""
    return Stage()


def tick(stage: Stage, times: int) -> None:
    """Let so many seconds pass, as the node counts them."""
    for _ in range(times):
        stage.node.tick()


def pings(peer: Peer | ManyPeer) -> int:
    """Tell how many signs of life a client got."""
    return len(peer.saw("ping"))


def test_come_every_so_many_seconds(stage: Stage) -> None:
    """From the handshake on, each to its own period."""
    slow = ClientOptions(heartbeat=7)
    five, seven = stage.join(options=EVERY_FIVE), stage.join("bob", options=slow)
    seen = []
    for _ in range(15):
        tick(stage, 1)
        seen.append((pings(five), pings(seven)))

    assert seen == [(second // 5, second // 7) for second in range(1, 16)]
    assert five.saw("ping")[0] == {"type": "ping"}


def test_come_on_a_socket_of_many_items_too(stage: Stage) -> None:
    """Whether or not it has joined anything."""
    peer = stage.open(ItemRules({ITEM: EVERYTHING}), options=EVERY_FIVE)
    tick(stage, 5)

    assert pings(peer) == 1


def test_do_not_come_unasked(stage: Stage) -> None:
    """And a connection that asks for none leaves nothing behind here."""
    peer = stage.join()
    tick(stage, 300)

    assert pings(peer) == 0
    assert not stage.node.heartbeats._due_at


def test_a_clock_that_is_set_back_stops_none(stage: Stage) -> None:
    """Or all clients would give up their connections at once."""
    peer = stage.join(options=EVERY_FIVE)
    stage.clock.now -= 3600
    tick(stage, 10)

    assert pings(peer) == 2


def test_a_client_that_is_behind_gets_none(stage: Stage) -> None:
    """What waits for it is sign enough, and its outbox is bounded."""
    peer = stage.join(options=EVERY_FIVE, room=1)
    tick(stage, 5)
    peer.drains()
    tick(stage, 4)
    before = pings(peer)
    tick(stage, 1)

    assert (before, pings(peer)) == (0, 1)


def test_a_plain_client_gets_none(stage: Stage) -> None:
    """It has no word for one."""
    peer = stage.join(codec=PLAIN, options=EVERY_FIVE)
    tick(stage, 10)

    assert peer.transport.frames == []


def test_end_with_their_connection(stage: Stage) -> None:
    """Nothing is kept of a client that has left."""
    peers = [stage.join(f"user{n}", options=EVERY_FIVE) for n in range(3)]
    tick(stage, 3)
    for peer in peers:
        peer.session.closed(1000)

    assert not stage.node.heartbeats._due
    assert not stage.node.heartbeats._due_at
