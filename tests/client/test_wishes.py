"""Joining and leaving: the last wish wins. Behaviours 22 to 24 of a client."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable

import pytest

from itemwire.client import ClientClosed, ReceivedMessage, Refused
from tests.client.manual_clock import settle
from tests.client.scripted import Stage, data_of, read_all, scripted


@pytest.mark.parametrize("wishes", list(itertools.product("jl", repeat=4)), ids="".join)
@pytest.mark.parametrize("answers", [0, 1, 3], ids=["at the end", "late", "at once"])
@scripted
async def test_22_the_last_wish_wins(stage: Stage, wishes: tuple[str, ...], answers: int) -> None:
    """However many answers are under way; a welcome that is too late is answered by leave."""
    wire = await stage.connected()
    item = wire.item("a")
    joining: list[asyncio.Task[None]] = []
    on_it = False

    def serve() -> None:
        """Answer the next request, as a server does in its order."""
        nonlocal on_it
        if done := stage.server.socket.sent[served[0] :]:
            served[0] += 1
            stage.server.held.clear()
            stage.server.answer(stage.server.socket, done[0])
            stage.server.held.update({"join", "leave"})
            on_it = {"join": True, "leave": False}.get(done[0]["type"], on_it)

    served = [len(stage.server.socket.sent)]
    stage.server.held.update({"join", "leave"})
    for wish in wishes:
        if wish == "j":
            joining.append(asyncio.ensure_future(item.join()))
        else:
            await item.leave()
        await asyncio.sleep(0)
        for _ in range(answers):
            await settle()
            serve()
    for _ in range(20):
        await settle()
        serve()
    await settle()

    assert on_it == (wishes[-1] == "j")
    assert item.state == ("joined" if on_it else "away")
    results = await asyncio.gather(*joining, return_exceptions=True)
    assert {type(one) for one in results} <= {type(None), ClientClosed}


@scripted
async def test_23_nothing_is_delivered_after_leave(stage: Stage) -> None:
    """Not even what came in the same batch; functions and readers end."""
    wire = await stage.connected()
    item, other = wire.item("a"), wire.item("b")
    heard: list[object] = []

    async def leave_at_once(message: ReceivedMessage[object]) -> None:
        heard.append(message.data)
        await item.leave()

    item.on("message", leave_at_once)
    item.on("message", lambda message: heard.append(message.data))
    await item.join()
    await other.join()
    for number in range(3):
        stage.server.publish("a", number)
        stage.server.publish("b", number)
    await settle()
    read: list[object] = []
    async for message in other:
        read.append(data_of(message))
        await other.leave()

    assert (heard, read) == ([0], [0])


@scripted
async def test_23_what_was_left_does_not_come_with_the_next_join(stage: Stage) -> None:
    """The server may have sent it before it read the `leave`."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.publish("a", "old")
    await item.leave()
    joining = asyncio.ensure_future(item.join())
    stage.server.publish("a", "old, too")
    await joining
    stage.server.publish("a", "new")

    assert await read_all(item) == ["new"]


@scripted
async def test_23_nothing_is_delivered_after_close(stage: Stage) -> None:
    """What was not read is dropped, and a reader that waits ends."""
    wire = await stage.connected()
    item, other = wire.item("a"), wire.item("b")
    await item.join()
    waiting = asyncio.ensure_future(anext(aiter(other)))
    await settle()
    stage.server.publish("a", 1)
    await settle()
    await wire.close()

    with pytest.raises(StopAsyncIteration):
        await anext(item)
    with pytest.raises(StopAsyncIteration):
        await waiting


@scripted
async def test_24_only_what_is_wanted_is_joined_again_in_one_frame(stage: Stage) -> None:
    """A hundred items are one frame, and so one trip."""
    wire = await stage.connected()
    items = [wire.item(f"i{number}") for number in range(100)]
    await asyncio.gather(*(item.join() for item in items))
    await items[7].leave()
    await stage.break_off()
    await items[8].leave()
    await stage.clock.advance(2)

    (join,) = stage.server.socket.of_type("join")
    assert [one["item"] for one in join["items"]] == [
        f"i{number}" for number in range(100) if number not in {7, 8}
    ]
    assert {item.state for item in items} == {"joined", "away"}


@scripted
async def test_24_a_list_has_no_more_bytes_than_a_frame_may_have(stage: Stage) -> None:
    """One byte too many would end the connection, and so would the next attempt."""
    stage.server.max_bytes = 2000
    wire = await stage.connected()
    items = [wire.item(f"{number:0100}") for number in range(60)]
    await asyncio.gather(*(item.join() for item in items))

    joins = stage.server.socket.of_type("join")
    assert max(len(json.dumps(one, separators=(",", ":"))) for one in joins) <= 2000
    assert sum(len(one["items"]) for one in joins) == 60
    assert len(joins) == 4


@scripted
async def test_24_an_item_that_is_refused_for_good_is_told_and_left(stage: Stage) -> None:
    """Messages that came before are read first; the others go on."""
    wire = await stage.connected()
    item, other = wire.item("a"), wire.item("b")
    told: list[Refused] = []
    item.on("refused", told.append)
    await asyncio.gather(item.join(), other.join())
    stage.server.publish("a", 1)
    stage.server.socket.say("ended", item="a", reason="forbidden", retry="never")
    await settle()
    await stage.break_off()
    await stage.clock.advance(2)

    assert data_of(await anext(item)) == 1
    with pytest.raises(Refused, match="forbidden"):
        await anext(item)
    assert ([one.reason for one in told], item.state) == (["forbidden"], "refused")
    assert [one["item"] for one in stage.server.socket.of_type("join")] == ["b"]


@pytest.mark.parametrize(
    ("source", "tries"),
    [pytest.param("t", 1, id="a text"), pytest.param(lambda: "t", 3, id="a function")],
)
@scripted
async def test_24_an_item_that_wants_another_token_is_not_tried_for_ever(
    stage: Stage, source: str | Callable[[], str], tries: int
) -> None:
    """Only a function may come to have one."""
    stage.server.refused["a"] = {
        "code": "credentials_missing",
        "temporary": False,
        "detail": "",
        "retry": "token",
    }
    wire = await stage.connected(token=source)
    await stage.reached("connected")
    joining = asyncio.ensure_future(wire.item("a").join(timeout=999.0))
    await stage.clock.advance(200)

    with pytest.raises(Refused, match="credentials_missing"):
        await joining
    assert len(stage.server.socket.of_type("join")) == tries


@scripted
async def test_a_client_that_was_refused_and_tries_anew_hears_as_before(stage: Stage) -> None:
    """Functions and readers, without being registered again."""
    wire = await stage.connected()
    heard: list[object] = []
    item, other = wire.item("a"), wire.item("b")
    item.on("message", lambda message: heard.append(message.data))
    await asyncio.gather(item.join(), other.join())
    stage.server.socket.drop(1008, "forbidden;retry=never")
    await settle()
    with pytest.raises(Refused):
        await other.receive()
    wire.connect()
    await settle()
    stage.server.publish("a", 1)
    stage.server.publish("b", 2)

    assert data_of(await other.receive()) == 2
    assert heard == [1]


@scripted
async def test_the_states_of_an_item_are_told_when_they_change(stage: Stage) -> None:
    """Each once, over a break and to the end."""
    wire = await stage.connected()
    item = wire.item("a")
    states: list[str] = []
    item.on("state", states.append)
    await item.join()
    await item.publish(1)
    await stage.break_off()
    await stage.clock.advance(2)
    await item.leave()

    assert states == ["joining", "joined", "joining", "joined", "away"]


@scripted
async def test_24_one_that_is_refused_for_now_is_joined_later(stage: Stage) -> None:
    """With a wait of its own, not before the server says."""
    stage.luck = 0.0
    stage.server.refused["a"] = {
        "code": "rate_limited",
        "temporary": True,
        "detail": "",
        "retry_after_ms": 700,
    }
    wire = await stage.connected()
    joining = asyncio.ensure_future(wire.item("a").join())
    await stage.clock.advance(0.6)
    assert len(stage.server.socket.of_type("join")) == 1
    stage.server.refused.clear()
    await stage.clock.advance(0.2)
    await joining

    assert len(stage.server.socket.of_type("join")) == 2
    assert [str(one) for one in stage.errors] == ["rate_limited"]


@scripted
async def test_a_list_that_is_refused_as_a_whole_is_joined_one_by_one(stage: Stage) -> None:
    """One entry is wrong, and the server does not say which: the others must not suffer."""
    stage.server.held.add("join")
    wire = await stage.connected()
    joining = [asyncio.ensure_future(wire.item(name).join()) for name in "abc"]
    await settle()
    ref = stage.server.socket.of_type("join")[0]["ref"]
    stage.server.held.clear()
    stage.server.refused["b"] = {"code": "item_invalid", "temporary": False, "detail": "b"}
    stage.server.socket.say("error", ref=ref, code="payload_invalid", temporary=False, detail="")
    results = await asyncio.gather(*joining, return_exceptions=True)

    assert [isinstance(one, Refused) for one in results] == [False, True, False]
