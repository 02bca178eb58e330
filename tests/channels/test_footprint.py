"""The memory that an item takes, and that it takes none once all have left."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from itemwire.engines.base import KEY_SECONDS
from tests.channels.sessions.test_many_items import join
from tests.fakes import EVERYTHING, ItemRules, ManyPeer, Stage

ITEMS = 2000
A_SOCKET = 100


@pytest.fixture
def traced() -> Iterator[None]:
    """Count what is allocated."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def taken() -> int:
    """Tell how much memory is in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def crowd(stage: Stage) -> list[ManyPeer]:
    """Open sockets that hear a hundred items each, and no two the same one."""
    names = [f"item-{number}" for number in range(ITEMS)]
    peers = []
    for first in range(0, ITEMS, A_SOCKET):
        own = names[first : first + A_SOCKET]
        peer = stage.open(ItemRules(dict.fromkeys(own, EVERYTHING)))
        for name in own:
            peer.session.received(join(name))
            peer.transport.frames.clear()
        peers.append(peer)
    return peers


@pytest.mark.usefixtures("traced")
def test_an_item_with_one_subscriber_is_small() -> None:
    """100,000 of them fit into 150 MB; measured: 1.3 KB each."""
    stage = Stage()
    before = taken()
    peers = crowd(stage)
    each = (taken() - before) / ITEMS

    assert len(peers) == ITEMS // A_SOCKET
    assert each < 2000


@pytest.mark.usefixtures("traced")
def test_items_that_nobody_hears_take_nothing_in_the_end() -> None:
    """Idle channels are freed (requirement 101)."""
    stage = Stage()
    before = taken()
    peers = crowd(stage)
    full = taken() - before
    for peer in peers:
        peer.session.closed(1000)
    del peers, peer
    stage.clock.now += KEY_SECONDS + 1
    one = stage.join(item="another")
    one.session.closed(1000)
    left = taken() - before

    assert left < full / 8  # tables keep the room they had
