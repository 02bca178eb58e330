"""Publishing and asking: behaviours 25 and 26 of a client."""

from __future__ import annotations

import asyncio

import pytest

from itemwire.client import (
    NotConnected,
    PublishResult,
    PublishUnconfirmed,
    Refused,
    RequestTimeout,
)
from tests.client.manual_clock import settle
from tests.client.scripted import Stage, data_of, scripted


@scripted
async def test_25_a_publish_without_an_answer_is_unconfirmed_and_has_its_key(stage: Stage) -> None:
    """It may be stored: only asking again with the same key is safe."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.held.add("publish")
    asked = asyncio.ensure_future(item.publish("x"))
    await settle()
    sent = stage.server.socket.of_type("publish")[0]
    stage.server.socket.drop()
    with pytest.raises(PublishUnconfirmed) as unconfirmed:
        await asked
    stage.server.held.clear()
    await stage.clock.advance(2)
    await item.publish("x", key=unconfirmed.value.key)
    again = stage.server.socket.of_type("publish")[0]

    assert unconfirmed.value.key == sent["key"] == again["key"]
    assert len(sent["key"]) == 32


@scripted
async def test_25_is_sent_again_with_the_same_key_if_that_is_asked_for(stage: Stage) -> None:
    """And stored once, although the answer of the first was lost."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.held.add("publish")
    asked = asyncio.ensure_future(item.publish("x", retry=True))
    await settle()
    first = stage.server.socket
    stage.server.held.clear()
    envelope = first.of_type("publish")[0]
    stage.server.answer(stage.server.socket, envelope)
    first.drop()  # behind the answer: nobody reads it any more
    await stage.clock.advance(2)

    assert await asked == PublishResult("e1:1")
    assert stage.server.channel("a").offset == 1


@scripted
async def test_25_nothing_waits_for_a_connection_by_default(stage: Stage) -> None:
    """A program that is not told would go on, and its memory, too."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.socket.drop()
    await settle()

    with pytest.raises(NotConnected, match="no room in the queue"):
        await item.publish("x")


@scripted
async def test_25_what_waits_is_bounded(stage: Stage) -> None:
    """With `queue`, so many requests wait, and one more is refused at once."""
    wire = await stage.connected(queue=2)
    item = wire.item("a")
    await item.join()
    stage.server.socket.drop()
    await settle()
    waiting = [asyncio.ensure_future(item.publish(number)) for number in range(2)]
    await settle()
    with pytest.raises(NotConnected, match="no room"):
        await item.publish(2)
    await stage.clock.advance(2)

    assert [(await one).position for one in waiting] == ["e1:1", "e1:2"]
    assert [one["data"] for one in stage.server.channel("a").messages] == [0, 1]


@scripted
async def test_25_the_first_connection_is_waited_for(stage: Stage) -> None:
    """`async with` begins to connect, and the next line may publish."""
    stage.server.outcomes.append(OSError("not yet"))
    wire = await stage.connected()
    asked = asyncio.ensure_future(wire.publish("a", "x"))
    await stage.clock.advance(2)

    assert (await asked).position == "e1:1"


@scripted
async def test_26_every_request_has_a_limit_and_a_late_answer_is_ignored(stage: Stage) -> None:
    """The next request does not get it either: its number is another one."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.held.update({"publish", "request", "history"})
    asked = [
        asyncio.ensure_future(item.publish("x", timeout=2.0)),
        asyncio.ensure_future(item.request("count", timeout=2.0)),
        asyncio.ensure_future(item.history(timeout=2.0)),
    ]
    await stage.clock.advance(2)
    results = await asyncio.gather(*asked, return_exceptions=True)
    late = stage.server.socket.of_type("publish")[0]["ref"]
    stage.server.socket.say("reply", ref=late, epoch="e1", offset=9)
    stage.server.held.clear()
    fresh = await item.publish("y")

    assert [type(one) for one in results] == [PublishUnconfirmed, RequestTimeout, RequestTimeout]
    assert isinstance(results[1], TimeoutError)
    assert fresh == PublishResult("e1:1")


@scripted
async def test_26_numbers_are_not_used_twice(stage: Stage) -> None:
    """Over all connections of a client."""
    wire = await stage.connected()
    item = wire.item("a")
    for _ in range(3):
        await item.join()
        await item.publish("x")
        stage.server.socket.drop()
        await stage.clock.advance(3)

    refs = [one["ref"] for socket in stage.server.sockets for one in socket.sent]
    assert len(refs) == len(set(refs)) > 8


@scripted
async def test_an_error_is_raised_with_what_the_server_says_of_it(stage: Stage) -> None:
    """Also that of a server without hints, which says only whether it is temporary."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.held.add("publish")
    refusals: list[Refused] = []
    for fields in (
        {"temporary": True, "retry": "later", "retry_after_ms": 250},
        {"temporary": False},
        {"temporary": True},
    ):
        asked = asyncio.ensure_future(item.publish("x"))
        await settle()
        ref = stage.server.socket.of_type("publish")[-1]["ref"]
        stage.server.socket.say("error", ref=ref, code="rate_limited", detail="slow", **fields)
        with pytest.raises(Refused, match="rate_limited: slow") as refused:
            await asked
        refusals.append(refused.value)

    assert [(one.retry, one.retry_after) for one in refusals] == [
        ("later", 0.25),
        ("never", 0.0),
        ("later", 0.0),
    ]


@scripted
async def test_publishing_to_an_item_that_nobody_hears_leaves_it_again(stage: Stage) -> None:
    """The server lets those on an item publish to it; the client does not stay there."""
    wire = await stage.connected()
    result = await wire.publish("a", {"x": 1}, meta={"trace": "7"}, end=True)
    await settle()

    assert result == PublishResult("e1:1")
    sent = [one["type"] for one in stage.server.socket.sent]
    assert sent == ["ping", "join", "publish", "leave"]
    publish = stage.server.socket.of_type("publish")[0]
    assert (publish["data"], publish["meta"], publish["end"]) == ({"x": 1}, {"trace": "7"}, True)


@scripted
async def test_one_who_publishes_and_then_listens_hears_from_a_place_that_is_known(
    stage: Stage,
) -> None:
    """The join for the publish is not that of a listener, so a second one follows."""
    stage.server.held.add("publish")
    wire = await stage.connected()
    item = wire.item("a")
    asked = asyncio.ensure_future(item.publish("x"))
    await settle()
    await item.join()
    stage.server.held.clear()
    for one in stage.server.socket.of_type("publish"):
        stage.server.answer(stage.server.socket, one)
    await asked
    stage.server.publish("a", "y")

    assert [data_of(await anext(item)) for _ in range(2)] == ["x", "y"]
    assert item.position == "e1:2"


@scripted
async def test_who_begins_to_listen_while_it_publishes_goes_on_from_its_place(
    stage: Stage,
) -> None:
    """The join for the publish said nothing of the place, so another one follows."""
    wire = await stage.connected()
    for number in range(1, 4):
        stage.server.publish("a", number)
    stage.server.held.add("join")
    item = wire.item("a", since="e1:1")
    publishing = asyncio.ensure_future(item.publish("x"))
    await settle()
    joining = asyncio.ensure_future(item.join())
    await settle()
    stage.server.held.clear()
    (join,) = stage.server.socket.of_type("join")
    stage.server.answer(stage.server.socket, join)
    await asyncio.gather(publishing, joining)

    assert [data_of(await anext(item)) for _ in range(3)] == [2, 3, "x"]


@scripted
async def test_bytes_need_the_codec_that_carries_them(stage: Stage) -> None:
    """Base64 that the program did not ask for would arrive as text."""
    wire = await stage.connected()

    with pytest.raises(TypeError, match='codec="msgpack"'):
        await wire.publish("a", b"\x00")
    with pytest.raises(TypeError, match="data of the type object cannot be sent"):
        await wire.publish("a", object())


@scripted
async def test_what_is_too_big_is_not_sent(stage: Stage) -> None:
    """The server would close the connection for it, for all items, and for good."""
    wire = await stage.connected()
    with pytest.raises(Refused, match="message_too_big: more than 65536 bytes"):
        await wire.publish("a", "\N{SNOWMAN}" * 22_000)
    await wire.publish("a", "x" * 60_000)

    assert wire.state == "connected"


@scripted
async def test_before_it_was_entered_a_client_says_so(stage: Stage) -> None:
    """And does not wait for ever."""
    wire = stage.client()

    with pytest.raises(NotConnected, match="async with"):
        await wire.publish("a", 1)
    with pytest.raises(NotConnected, match="async with"):
        await wire.item("a").join()
