"""The Redis engine on a cluster whose slots move."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from itemwire.engines import subscriptions as hearing
from tests.engines.watched import node, play
from tests.fakes import CHANNEL
from tests.redis_server import RedisServer, running_cluster


def test_moves_with_a_slot_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are sent on, and the channel is heard where it is now."""
    monkeypatch.setattr(hearing, "RETRY_SECONDS", 0.1)

    async def scene(servers: list[RedisServer]) -> None:
        url = f"redis+cluster://127.0.0.1:{servers[0].port}"
        async with node(url) as one, node(url) as other:
            before = await one.publish("before")
            await other.until(lambda: len(other.log) == 1)
            await asyncio.to_thread(move_slot, servers)
            after = await one.publish_at_last("after")
            for each in (one, other):
                await each.until_at(after)
            last = await other.publish_at_last("last")
            for each in (one, other):
                await each.until_at(last)
                each.check()

            assert before.epoch != after.epoch == last.epoch
            assert one.engine.is_available

    with running_cluster(tmp_path) as servers:
        play(lambda: scene(servers))


def move_slot(servers: list[RedisServer]) -> None:
    """Give the slot of the channel to the other server, without what was in it."""
    slot, giver, taker = slot_of(CHANNEL, servers)
    giver.ask("FLUSHALL")
    for server in (taker, giver):
        server.ask("CLUSTER", "SETSLOT", slot, "NODE", id_of(taker))


def slot_of(key: str, servers: list[RedisServer]) -> tuple[int, RedisServer, RedisServer]:
    """Tell the slot of a key, the server that has it, and the other one."""
    slot = int(servers[0].ask("CLUSTER", "KEYSLOT", key).strip()[1:])
    first, second = servers
    return (slot, first, second) if slot < 8192 else (slot, second, first)


def id_of(server: RedisServer) -> str:
    """Ask a server what the others call it."""
    return server.ask("CLUSTER", "MYID").split()[1].decode()


def test_asks_where_a_slot_is_just_going(tmp_path: Path) -> None:
    """What is not here any more may be there already."""

    async def scene(servers: list[RedisServer]) -> None:
        slot, giver, taker = slot_of("itemwire:0:value:k", servers)
        async with node(f"redis+cluster://127.0.0.1:{servers[0].port}") as one:
            await one.put("k", b"before")
            taker.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", id_of(giver))
            giver.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", id_of(taker))
            before = await one.take("k")
            await one.put("k", b"there")

            assert before == b"before"
            assert giver.ask("GET", "itemwire:0:value:k").startswith(b"-ASK")
            assert [await one.take("k"), await one.take("k")] == [b"there", None]

    with running_cluster(tmp_path) as servers:
        play(lambda: scene(servers))


def test_lets_go_of_a_server_that_has_nothing_any_more(tmp_path: Path) -> None:
    """Else the engine would be away for ever, once that server is."""

    async def scene(servers: list[RedisServer]) -> None:
        stays, goes = servers
        async with node(f"redis+cluster://127.0.0.1:{goes.port}") as one:
            await one.publish("before")
            for server in servers:
                server.ask("CLUSTER", "SETSLOT", 16383, "NODE", id_of(stays))
            goes.kill()
            await one.until(lambda: not one.engine.is_available)
            await one.until(lambda: one.engine.is_available)
            await one.publish_at_last("after")
            one.check()

            assert one.texts == ["before", "after"]

    with running_cluster(tmp_path, split=16383) as servers:
        play(lambda: scene(servers))
