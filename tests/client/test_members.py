"""Who is on an item: behaviour 28 of a client."""

from __future__ import annotations

from tests.client.manual_clock import settle
from tests.client.scripted import Envelope, ScriptedSocket, Stage, scripted


def member(name: str, info: object = None) -> Envelope:
    """A member as the server tells of it."""
    return {"connection": name, "subject": name.upper()} | ({"info": info} if info else {})


@scripted
async def test_28_welcome_pages_joined_left_and_updated_converge(stage: Stage) -> None:
    """Whoever joins or leaves while the pages are read is in its place."""
    stage.server.held.update({"join", "members"})
    wire = await stage.connected()
    item = wire.item("a")
    lists: list[list[str]] = []
    item.on("members", lambda members: lists.append([one.connection for one in members]))
    aiter(item)
    await settle()
    socket = stage.server.socket
    (join,) = socket.of_type("join")
    stage.server.welcome(
        socket, join, join["ref"], members=[member("a"), member("b")], member_count=6
    )
    await settle()
    (page,) = socket.of_type("members")
    assert page["after"] == "b"
    socket.say("left", item="a", member=member("a"))
    socket.say("reply", ref=page["ref"], members=[member("c"), member("d")], count=5, next="d")
    socket.say("left", item="a", member=member("c"))
    socket.say("joined", item="a", member=member("x"))
    await settle()
    last = socket.of_type("members")[-1]
    assert last["after"] == "d"
    socket.say("reply", ref=last["ref"], members=[member("e"), member("x")], count=4)
    socket.say("updated", item="a", member=member("d", {"name": "Dora"}))
    await settle()

    assert {one.connection: one.info for one in item.members} == {
        "b": None,
        "d": {"name": "Dora"},
        "x": None,
        "e": None,
    }
    assert item.member_count == 4
    assert lists[-1] == ["b", "d", "x", "e"]


@scripted
async def test_28_a_new_connection_begins_with_the_servers_list(stage: Stage) -> None:
    """Whoever left meanwhile is not told of."""
    wire = await stage.connected()
    item = wire.item("a")
    stage.server.held.add("join")
    aiter(item)
    await settle()
    await welcomed(stage, stage.server.socket, "a", "b")
    stage.server.socket.drop()
    await stage.clock.advance(2)
    assert [one.connection for one in item.members] == ["a", "b"]
    await welcomed(stage, stage.server.socket, "b", "c")

    assert [one.connection for one in item.members] == ["b", "c"]


@scripted
async def test_28_one_who_left_that_is_not_known_changes_nothing(stage: Stage) -> None:
    """Past the server's limit members are only counted."""
    wire = await stage.connected()
    item = wire.item("a")
    stage.server.held.add("join")
    aiter(item)
    await settle()
    await welcomed(stage, stage.server.socket, "a")
    stage.server.socket.say("left", item="a", member=member("z"))
    stage.server.socket.say("joined", item="a", member=member("a"))
    await settle()

    assert ([one.connection for one in item.members], item.member_count) == (["a"], 1)


@scripted
async def test_28_the_number_of_a_crowd_is_the_one_told_last(stage: Stage) -> None:
    """Who is listed in place of another is no newcomer; a program that follows members is told."""
    wire = await stage.connected()
    item = wire.item("a")
    numbers: list[int] = []
    item.on("members", lambda _: numbers.append(item.member_count))
    stage.server.held.add("join")
    aiter(item)
    await settle()
    socket = stage.server.socket
    await welcomed(stage, socket, "a", "b")
    socket.say("count", item="a", member_count=48_213)
    socket.say("left", item="a", member=member("a"))
    socket.say("joined", item="a", member=member("c"))
    socket.say("count", item="a", member_count=48_212)
    await settle()
    assert [one.connection for one in item.members] == ["b", "c"]
    assert item.member_count == 48_212
    assert numbers == [2, 48_213, 48_212, 48_213, 48_212]
    socket.say("count", item="a", member_count=2)
    socket.say("joined", item="a", member=member("d"))
    await settle()

    assert item.member_count == 3


async def welcomed(stage: Stage, socket: ScriptedSocket, *names: str) -> None:
    """Answer the join with these members."""
    join = socket.of_type("join")[-1]
    members = [member(name) for name in names]
    stage.server.welcome(socket, join, join["ref"], members=members, member_count=len(names))
    await settle()
