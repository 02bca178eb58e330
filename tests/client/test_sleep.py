"""Suspended processes, dead connections and networks that come back: behaviours 13 to 15."""

from __future__ import annotations

import asyncio

import pytest

from itemwire.client import RequestTimeout
from tests.client.manual_clock import settle
from tests.client.scripted import Stage, scripted


@scripted
async def test_13_what_waits_is_read_before_a_server_is_taken_for_dead(stage: Stage) -> None:
    """After a sleep every timer is late, and what came meanwhile is in the socket."""
    wire = await stage.connected(silence=30.0)
    await stage.clock.advance(30)
    stage.server.is_silent = True
    await stage.clock.sleep_through(3600)  # in the middle of waiting for a sign of life
    assert wire.state == "connected"
    stage.server.socket.say("ping")
    await stage.clock.advance(20)

    assert (wire.state, len(stage.server.sockets)) == ("connected", 1)


@scripted
async def test_13_an_answer_that_is_there_is_not_late(stage: Stage) -> None:
    """The limit of a request has passed in the sleep; its answer came before."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.held.add("publish")
    asked = asyncio.ensure_future(item.publish("x"))
    await settle()
    ref = stage.server.socket.of_type("publish")[0]["ref"]
    stage.server.socket.say("reply", ref=ref, epoch="e1", offset=7)
    await stage.clock.sleep_through(3600)

    assert (await asked).position == "e1:7"


@pytest.mark.parametrize("hints", [True, False], ids=["heartbeats", "none"])
@scripted
async def test_14_a_dead_connection_is_found_and_replaced(stage: Stage, hints: bool) -> None:
    """A NAT that forgot it tells nobody: only silence does."""
    stage.server.hints = hints
    wire = await stage.connected(silence=30.0, timeout=5.0)
    dead = stage.server.socket
    stage.server.is_silent = True
    await stage.clock.advance(35.5)
    assert (wire.state, dead.is_aborted) == ("reconnecting", True)
    stage.server.is_silent = False
    await stage.clock.advance(2)

    assert wire.state == "connected"
    assert "no sign of life" in str(stage.errors[0])


@scripted
async def test_14_heartbeats_are_enough(stage: Stage) -> None:
    """The client asks for nothing while the server says that it is there."""
    await stage.connected(silence=30.0)
    for _ in range(10):
        await stage.clock.advance(15)
        stage.server.socket.say("ping")
        await settle()

    assert len(stage.server.socket.of_type("ping")) == 1  # the first one, which proves it


@scripted
async def test_15_waking_up_checks_the_connection_at_once(stage: Stage) -> None:
    """A zombie is found in the time of one answer, and not after a silence."""
    wire = await stage.connected(silence=3000.0, timeout=3.0)
    stage.server.is_silent = True
    wire.wake()
    await stage.clock.advance(3)
    assert wire.state == "reconnecting"
    stage.server.is_silent = False
    await stage.clock.advance(2)

    assert wire.state == "connected"


@scripted
async def test_15_waking_up_tries_again_without_a_wait(stage: Stage) -> None:
    """The network is back: nobody should wait for the rest of half a minute."""
    stage.server.outcomes.extend([OSError("no network")] * 6)
    wire = await stage.connected()
    await stage.clock.advance(40)
    tried = len(stage.server.requests)
    wire.wake()
    await settle()

    assert len(stage.server.requests) == tried + 1


@scripted
async def test_15_waking_up_a_healthy_connection_changes_nothing(stage: Stage) -> None:
    """Programs call it whenever something may have changed."""
    wire = await stage.connected()
    for _ in range(3):
        wire.wake()
        await stage.clock.advance(11)

    assert (wire.state, len(stage.server.sockets)) == ("connected", 1)


@scripted
async def test_being_connected_can_be_waited_for_with_a_limit(stage: Stage) -> None:
    """And what kept it from that is told."""
    stage.server.outcomes.extend([OSError("no route to host")] * 99)
    wire = await stage.connected()
    ready = asyncio.ensure_future(wire.ready(timeout=3.0))
    await stage.clock.advance(3)

    with pytest.raises(RequestTimeout, match="within 3 s: no route to host"):
        await ready
