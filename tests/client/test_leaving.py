"""Closing, signing out, cancelling, and functions that are removed: 18, 30, 31 and Python's own."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest

from itemwire.client import AsyncClient, AsyncItem, ClientClosed, NotConnected
from tests.client.manual_clock import UNIX, settle
from tests.client.scripted import Stage, data_of, scripted


@scripted
async def test_closing_twice_is_closing_once(stage: Stage) -> None:
    """Also at the same time, and after `async with` did it."""
    async with await stage.connected() as wire:
        await asyncio.gather(wire.close(), wire.close())
        await wire.close()

    assert stage.states == ["connecting", "connected", "closed"]
    assert stage.server.socket.is_closed


@scripted
async def test_18_nothing_runs_after_close(stage: Stage) -> None:
    """`scripted` looks at the tasks; these are the timers and the functions."""
    wire = await stage.connected(token=lambda: "t")
    await stage.reached("connected")
    item = wire.item("a")
    item.on("message", print)
    await item.join()
    stage.server.held.update({"refresh", "members", "publish"})
    stage.server.socket.say("expiring", expires_at=UNIX + 60)
    publishing = asyncio.ensure_future(item.publish("x"))
    await settle()
    await wire.close()
    await asyncio.gather(publishing, return_exceptions=True)

    assert stage.clock.waits == []


@scripted
async def test_30_on_returns_its_removal_and_nothing_is_registered_again(stage: Stage) -> None:
    """A function that was registered once is called once for each event, after ten reconnects."""
    wire = await stage.connected()
    item = wire.item("a")
    heard: list[object] = []
    remove = item.on("message", lambda message: heard.append(message.data))
    await item.join()
    for number in range(10):
        stage.server.publish("a", number)
        await settle()
        stage.server.socket.drop()
        await stage.clock.advance(3)
    remove()
    remove()
    stage.server.publish("a", 10)
    await settle()

    assert heard == list(range(10))


@scripted
async def test_an_event_that_is_none_is_refused(stage: Stage) -> None:
    """A typing error would be heard by nobody."""
    wire = await stage.connected()

    with pytest.raises(ValueError, match="'mesage' is no event: message, gap"):
        wire.item("a").add_handler("mesage", print)


@scripted
async def test_31_nothing_of_the_earlier_user_is_left(stage: Stage) -> None:
    """Items, positions, members and the token go; the next user begins with none of them."""
    users = iter(["ann", "bob"])

    async def source() -> str:
        return next(users)

    wire = await stage.connected(token=source)
    item = wire.item("a", since="e1:0")
    await item.join()
    stage.server.publish("a", "for ann")
    await settle()
    await wire.sign_out()
    assert (wire.state, item.position, item.members, item.state) == ("idle", None, (), "away")
    with pytest.raises(NotConnected):
        await wire.publish("a", 1)
    wire.connect()
    await settle()
    with pytest.raises(ClientClosed, match="signed out"):
        await item.join()
    again = wire.item("a")
    await again.join()

    assert again is not item
    assert stage.server.tokens == ["ann", "bob"]
    assert stage.server.socket.of_type("join") == [{"type": "join", "item": "a", "ref": 4}]


@scripted
async def test_31_a_static_token_goes_with_its_user(stage: Stage) -> None:
    """The client cannot get it back."""
    wire = await stage.connected(token="ann's")
    await wire.sign_out()
    wire.connect()
    await settle()

    assert stage.server.tokens == ["ann's", ""]


def joining(item: AsyncItem[object], _: AsyncClient) -> Awaitable[object]:
    """Wait for a join."""
    return item.join()


def reading(item: AsyncItem[object], _: AsyncClient) -> Awaitable[object]:
    """Wait for a message."""
    return item.receive()


def publishing(item: AsyncItem[object], _: AsyncClient) -> Awaitable[object]:
    """Wait for an answer."""
    return item.publish("x")


def asking(item: AsyncItem[object], _: AsyncClient) -> Awaitable[object]:
    """Wait for history."""
    return item.history()


def waiting(_: AsyncItem[object], wire: AsyncClient) -> Awaitable[object]:
    """Wait for a connection."""
    return wire.ready()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 30])
@pytest.mark.parametrize("wait", [joining, reading, publishing, asking, waiting])
@pytest.mark.parametrize("held", [frozenset(), frozenset({"join"}), frozenset({"publish"})])
@scripted
async def test_any_wait_may_be_cancelled(
    stage: Stage,
    turns: int,
    wait: Callable[[AsyncItem[object], AsyncClient], Awaitable[object]],
    held: frozenset[str],
) -> None:
    """At any of its steps; afterwards the client works as before, and nothing was lost."""
    stage.server.held.update(held | {"history"})
    wire = stage.client()
    wire.connect()
    item = wire.item("a")
    task = asyncio.ensure_future(wait(item, wire))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    stage.server.held.clear()
    await settle()
    for socket in stage.server.sockets:
        for one in socket.sent:  # what was held is answered now
            if one["type"] in held:
                stage.server.answer(socket, one)
    await settle()
    await item.join()
    stage.server.publish("a", "after")
    while data_of(await item.receive()) != "after":
        pass

    assert wire.state == "connected"


@pytest.mark.parametrize("turns", range(6))
@scripted
async def test_closing_may_be_cancelled_and_goes_on(stage: Stage, turns: int) -> None:
    """A program that ends by a cancellation leaves no open socket."""
    wire = await stage.connected()
    task = asyncio.ensure_future(wire.close())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await wire.close()

    assert stage.server.socket.is_closed


@scripted
async def test_a_cancelled_reader_loses_no_message(stage: Stage) -> None:
    """`asyncio.timeout` around reading is how programs wait for either of two things."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    heard: list[object] = []
    for number in range(20):
        task = asyncio.ensure_future(anext(item))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        stage.server.publish("a", number)
        for _ in range(number % 5):
            await asyncio.sleep(0)
        task.cancel()
        heard += [
            data_of(one)
            for one in await asyncio.gather(task, return_exceptions=True)
            if not isinstance(one, BaseException)
        ]
    await settle()
    while len(heard) < 20:
        heard.append(data_of(await anext(item)))

    assert heard == list(range(20))


@scripted
async def test_functions_may_be_coroutines_or_not(stage: Stage) -> None:
    """For every event."""
    wire = await stage.connected()
    seen: list[object] = []

    async def later(value: object) -> None:
        await asyncio.sleep(0)
        seen.append(("later", value))

    wire.on("direct", lambda message: seen.append(message.data))
    wire.on("state", later)
    wire.on("state", seen.append)
    stage.server.socket.say("direct", sender=None, sent_at=1.0, data="psst")
    await settle()
    stage.server.socket.drop()
    await settle()

    assert seen == ["psst", "reconnecting", ("later", "reconnecting")]


@scripted
async def test_a_coroutine_for_an_event_may_close_the_client(stage: Stage) -> None:
    """It must not wait for its own end."""
    wire = await stage.connected()
    item = wire.item("a")

    async def close(_: object) -> None:
        await wire.close()

    item.on("message", close)
    await item.join()
    stage.server.publish("a", 1)
    await settle()

    assert wire.state == "closed"


def test_a_second_event_loop_is_refused_with_a_sentence() -> None:
    """It would hang: the client's tasks run on the first one."""
    stage = Stage()

    async def begin() -> AsyncClient:
        wire = AsyncClient("wss://x", connect=stage.server.connect, clock=stage.clock)
        async with wire:
            pass
        return wire

    wire = asyncio.run(begin())

    async def go_on() -> None:
        await wire.close()

    with pytest.raises(RuntimeError, match="belongs to another event loop: make one for each"):
        asyncio.run(go_on())


@scripted
async def test_an_item_that_nobody_holds_is_forgotten(stage: Stage) -> None:
    """A program that publishes to a million items does not keep a million."""
    wire = await stage.connected()
    await wire.publish("a", 1)
    await settle()
    gc.collect()
    assert "a" not in wire._router.items
    wire.item("b", replay=3)
    wire.item("c").on("message", print)
    left = wire.item("d")
    await asyncio.gather(wire.item("b").join(), left.join())
    await wire.item("c").leave()
    await left.leave()
    gone = weakref.ref(left)
    del left
    gc.collect()

    assert gone() is None
    assert sorted(wire._router.items) == ["b", "c"]
    stage.server.publish("b", 1)
    assert data_of(await wire.item("b").receive()) == 1
