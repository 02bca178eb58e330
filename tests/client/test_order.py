"""Order, resume and gaps: behaviours 19 to 21 of a client."""

from __future__ import annotations

import asyncio

import pytest

from itemwire.client import Position, ReceivedMessage
from tests.client.manual_clock import settle
from tests.client.scripted import Stage, data_of, read_all, scripted


@scripted
async def test_19_the_position_moves_before_the_reader_has_the_message(stage: Stage) -> None:
    """A program that stores it beside its work loses nothing and does nothing twice."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    assert item.position == "e1:0"
    seen: list[str | None] = []
    for number in range(3):
        stage.server.publish("a", number)
    await settle()
    assert item.position == "e1:0"  # they have come, and nobody has read them
    async for _ in item:
        seen.append(item.position)
        if len(seen) == 3:
            break

    assert seen == ["e1:1", "e1:2", "e1:3"]


@scripted
async def test_19_so_it_does_for_functions(stage: Stage) -> None:
    """Also where one of them waits."""
    wire = await stage.connected()
    item = wire.item("a")
    seen: list[str | None] = []

    async def slow(_: object) -> None:
        seen.append(item.position)
        await asyncio.sleep(0)

    item.on("message", slow)
    await item.join()
    for number in range(3):
        stage.server.publish("a", number)
    await settle()

    assert seen == ["e1:1", "e1:2", "e1:3"]


@scripted
async def test_20_a_message_that_came_is_not_given_twice(stage: Stage) -> None:
    """A resume and the live stream may both have it."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    first = stage.server.publish("a", "one")
    stage.server.socket.say("message", **first)
    await settle()
    await stage.break_off()
    await stage.clock.advance(2)
    stage.server.socket.say("message", **first)
    stage.server.publish("a", "two")

    assert await read_all(item) == ["one", "two"]


@scripted
async def test_20_the_same_offset_in_a_new_epoch_is_another_message(stage: Stage) -> None:
    """The count began again."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.publish("a", "one")
    stage.server.socket.say("gap", item="a", epoch="e2", **{"from": 1, "to": 0})
    stage.server.socket.say(
        "message", item="a", offset=1, sender=None, sent_at=1.0, data="again one"
    )

    assert await read_all(item) == ["one", (1, 0), "again one"]
    assert item.position == "e2:1"


@scripted
async def test_resumes_with_the_proof_of_having_been_there(stage: Stage) -> None:
    """And takes that of the newest welcome; the program sees only positions."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.publish("a", "one")
    await settle()
    await stage.break_off()
    stage.server.channel("a").messages.append(
        {"item": "a", "offset": 2, "sender": "x", "sent_at": 1.0, "data": "missed"}
    )
    stage.server.channel("a").offset = 2
    await stage.clock.advance(2)

    assert stage.server.socket.of_type("join")[0]["since"] == "e1.1.proof:1"
    assert await read_all(item) == ["one", "missed"]
    assert item.position == "e1:2"


@pytest.mark.parametrize(
    ("epoch", "told"),
    [pytest.param("e1", (2, 5), id="forgotten"), pytest.param("e2", (1, 5), id="a new epoch")],
)
@scripted
async def test_21_what_is_lost_is_told_once_and_before_newer_messages(
    stage: Stage, epoch: str, told: tuple[int, int]
) -> None:
    """The program loads its state again, and goes on."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.publish("a", "one")
    await settle()
    await stage.break_off()
    channel = stage.server.channel("a")
    channel.epoch, channel.offset = epoch, 5
    channel.messages.clear()
    await stage.clock.advance(2)
    stage.server.publish("a", "new")
    await settle()
    await stage.break_off()
    await stage.clock.advance(2)

    assert await read_all(item) == ["one", told, "new"]
    assert item.position == f"{epoch}:6"


@scripted
async def test_21_nothing_lost_is_no_gap(stage: Stage) -> None:
    """A server that cannot prove the past, where nothing has passed."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.publish("a", "one")
    await settle()
    await stage.break_off()
    stage.server.held.add("join")
    await stage.clock.advance(2)
    (join,) = stage.server.socket.of_type("join")
    stage.server.welcome(stage.server.socket, join, join["ref"], recovered=False)
    stage.server.publish("a", "two")

    assert await read_all(item) == ["one", "two"]


@scripted
async def test_a_replay_comes_first_and_each_of_its_messages_once(stage: Stage) -> None:
    """Also where the connection breaks before any of it came."""
    wire = await stage.connected()
    for number in range(1, 6):
        stage.server.publish("a", number)
    item = wire.item("a", replay=2)
    await item.join()
    assert await read_all(item) == [4, 5]
    await stage.break_off()
    await stage.clock.advance(2)
    stage.server.publish("a", 6)

    assert await read_all(item) == [6]


@scripted
async def test_goes_on_from_a_position_of_an_earlier_run(stage: Stage) -> None:
    """As text, or as it came from a publish in code."""
    wire = await stage.connected()
    for number in range(1, 4):
        stage.server.publish("a", number)
    item = wire.item("a", since=Position("e1", 1))
    await item.join()

    assert await read_all(item) == [2, 3]
    assert stage.server.socket.of_type("join")[0]["since"] == "e1:1"


@pytest.mark.parametrize("offset", [7, 0], ids=["of this epoch", "of an earlier one"])
@scripted
async def test_the_message_that_a_channel_retains_is_read_once(stage: Stage, offset: int) -> None:
    """It comes right after the welcome, with an offset that counts as heard everywhere else."""
    wire = await stage.connected()
    item = wire.item("a")
    channel = stage.server.channel("a")
    channel.offset = 7
    retained = {"item": "a", "offset": offset, "sender": "x", "sent_at": 1.0, "data": "kept"}
    await item.join()
    stage.server.socket.say("message", **retained)
    stage.server.socket.say("message", **retained)
    stage.server.publish("a", "new")
    assert await read_all(item) == ["kept", "new"]
    await stage.break_off()
    await stage.clock.advance(2)
    stage.server.socket.say("message", **(retained | {"offset": 8}))

    assert await read_all(item) == []
    assert item.position == "e1:8"


@scripted
async def test_the_message_that_is_retained_comes_behind_a_gap(stage: Stage) -> None:
    """Also to one that could not resume; but not if it was heard before."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    first = stage.server.publish("a", "one")
    await settle()
    for told, data in ((5, "five"), (5, "five")):
        await stage.break_off()
        channel = stage.server.channel("a")
        channel.messages.clear()
        channel.offset = told
        stage.server.held.add("join")
        await stage.clock.advance(2)
        (join,) = stage.server.socket.of_type("join")
        stage.server.welcome(stage.server.socket, join, join["ref"], recovered=False)
        stage.server.socket.say("message", **(first | {"offset": told, "data": data}))
        await settle()

    assert await read_all(item) == ["one", (2, 5), "five"]
    assert item.position == "e1:5"


@scripted
async def test_an_ephemeral_message_moves_nothing(stage: Stage) -> None:
    """It has no place that one could go on from."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.socket.say(
        "message", item="a", ephemeral=True, sender="bob", sent_at=1.0, data={"x": 1}
    )

    message = await item.receive()

    assert message == ReceivedMessage("a", None, "bob", 1.0, {"x": 1})
    assert item.position == "e1:0"


@scripted
async def test_a_slow_reader_is_told_what_it_has_no_room_for(stage: Stage) -> None:
    """Memory is bounded, and nothing is lost without a word."""
    wire = await stage.connected(buffer=3)
    item = wire.item("a")
    await item.join()
    for number in range(1, 9):
        stage.server.publish("a", number)
    assert await read_all(item) == [1, 2, 3, (4, 8)]
    stage.server.publish("a", 9)

    assert await read_all(item) == [9]
    assert item.position == "e1:9"


@scripted
async def test_two_readers_of_one_item_are_refused(stage: Stage) -> None:
    """Each would hear a part of it, and neither would know."""
    wire = await stage.connected()
    item, other = wire.item("a"), wire.item("b")
    first = asyncio.ensure_future(anext(aiter(item)))
    await settle()
    with pytest.raises(RuntimeError, match="another task reads this item"):
        await anext(item)
    other.on("message", print)
    await other.join()
    with pytest.raises(RuntimeError, match=r"functions given to on\(\) read b"):
        aiter(other)
    stage.server.publish("a", 1)

    assert data_of(await first) == 1


@scripted
async def test_the_same_id_is_the_same_item(stage: Stage) -> None:
    """Two parts of a program share it; other options would be those of one of them only."""
    wire = await stage.connected()
    item = wire.item("a", since="e1:4")

    assert wire.item("a") is item
    assert wire.item("a", since="e1:4") is item
    with pytest.raises(ValueError, match="other options"):
        wire.item("a", since="e1:5")
    with pytest.raises(ValueError, match="a position is written"):
        wire.item("b", since="nonsense")


@scripted
async def test_making_an_item_joins_nothing(stage: Stage) -> None:
    """Joining costs others a `joined`, and the server a place."""
    wire = await stage.connected()
    wire.item("a")
    await settle()

    assert stage.server.socket.of_type("join") == []
