"""The Redis engine while servers take turns as primary and replica."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.engines.redis import engine as redis_engine
from itemwire.messages import Draft, Position
from tests.conformance.asked_engine import answer_of
from tests.engines.watched import Watched, node, play
from tests.proxy import Proxy
from tests.redis_server import RedisServer, running_redis
from tests.timing import BUSY_SECONDS

ELSEWHERE = "item:else"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """Run a primary and its replica."""
    with contextlib.ExitStack() as stack:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        one, two = [
            stack.enter_context(running_redis(tmp_path / name, "--repl-diskless-sync-delay", "0"))
            for name in ("one", "two")
        ]
        two.follow(one)
        yield one, two


@pytest.fixture(autouse=True)
def _unlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be healed by the look that comes now and then."""
    monkeypatch.setattr(redis_engine, "CHECK_SECONDS", 1000)


async def publish_elsewhere(watched: Watched, text: str) -> Position:
    """Publish to a channel that no node hears."""
    draft = Draft("else", "alice", 1.5, text)
    return await answer_of(lambda answer: watched.engine.publish(ELSEWHERE, draft, answer))


def test_what_the_replica_lacks_is_lost_and_all_are_told(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    """It was acknowledged, and its place in a new epoch goes to another message (113)."""
    one, two = pair

    async def scene(proxy: Proxy) -> None:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        async with node(url) as here, node(url) as there:
            before = await here.publish("kept")
            two.catch_up(one)
            two.ask("REPLICAOF", "NO", "ONE")  # the two have parted
            await here.publish("lost")
            await there.until(lambda: len(there.texts) == 2)
            one.kill()
            for each in (here, there):
                await each.until(lambda each=each: not each.engine.is_available)  # type: ignore[misc] # a default is how a loop's lambda keeps its value
            proxy.target = two.port
            after = await here.publish_at_last("after")
            for each in (here, there):
                await each.until_at(after)
                each.check()
                assert [loss.epoch for loss in each.losses] == [after.epoch]

            assert after.epoch != before.epoch

    with Proxy(one.port).running() as proxy:
        play(lambda: scene(proxy))


def test_a_server_that_was_a_replica_meanwhile_begins_a_new_life(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    """It lacks what it had acknowledged itself, though its process is the same (113)."""
    one, two = pair

    async def scene() -> None:
        async with node(one.url) as before:
            replicated = await publish_elsewhere(before, "replicated")
            two.catch_up(one)
            two.ask("REPLICAOF", "NO", "ONE")
            await publish_elsewhere(before, "lost")
        async with node(two.url) as meanwhile:
            await meanwhile.publish("of another item")
        one.follow(two)
        one.ask("REPLICAOF", "NO", "ONE")
        async with node(one.url) as after:
            back = await publish_elsewhere(after, "after")

        assert replicated.epoch != back.epoch
        assert back.offset == 1

    play(scene)


@pytest.mark.parametrize("is_idle", [True, False], ids=["idle", "publishing"])
def test_a_node_that_has_seen_the_replica_doubts_the_life(
    pair: tuple[RedisServer, RedisServer], *, is_idle: bool
) -> None:
    """Nobody stored anything at the other one, which only had less; all nodes agree (113)."""
    one, two = pair

    async def scene() -> None:
        async with node(one.url) as here, node(one.url) as there:
            await here.publish("kept")
            two.catch_up(one)
            two.ask("REPLICAOF", "NO", "ONE")
            before = await here.publish("lost")
            one.follow(two)
            if not is_idle:
                publishing = asyncio.create_task(here.publish_at_last("after"))
            for each in (here, there):
                await each.until(lambda each=each: not each.engine.is_available)  # type: ignore[misc] # a default is how a loop's lambda keeps its value
            one.ask("REPLICAOF", "NO", "ONE")
            after = await (here.publish_at_last("after") if is_idle else publishing)
            for each in (here, there):
                await each.until_at(after)
                each.check()
                assert [loss.epoch for loss in each.losses] == [after.epoch]
            again = await there.publish("again")

            assert (after.offset, again) == (1, Position(after.epoch, 2))
            assert after.epoch != before.epoch

    play(scene)


def test_hears_the_server_that_it_asks(pair: tuple[RedisServer, RedisServer]) -> None:
    """Where a name leads to another server, the old one still lets it listen (141)."""
    one, two = pair

    async def scene(proxy: Proxy) -> None:
        async with node(f"redis://127.0.0.1:{proxy.port}/0") as here:
            await here.publish("before")
            proxy.target = two.port  # for new connections
            two.ask("REPLICAOF", "NO", "ONE")
            one.ask("CLIENT", "KILL", "TYPE", "normal")
            one.ask("REPLICAOF", "127.0.0.1", 1)
            await here.until(lambda: here.engine.is_available)
            async with node(two.url) as there:
                begun = time.monotonic()
                after = await there.publish_at_last("after")
                await here.until_at(after)
                assert time.monotonic() - begun < 2 + BUSY_SECONDS
            here.check()

    with Proxy(one.port).running() as proxy:
        play(lambda: scene(proxy))


def test_a_full_server_keeps_its_life(pair: tuple[RedisServer, RedisServer]) -> None:
    """It can be read by nodes that start, whether it was a replica or not (118)."""
    one, two = pair

    async def scene() -> None:
        async with node(one.url) as before:
            await before.publish("kept")
            two.catch_up(one)
        two.ask("REPLICAOF", "NO", "ONE")
        two.ask("CONFIG", "SET", "maxmemory", "1")
        async with node(two.url) as here, node(two.url) as there:
            assert here.engine.is_available
            two.ask("CONFIG", "SET", "maxmemory", "0")
            after = await here.publish("after")

            assert await there.publish("more") == Position(after.epoch, 2)

    play(scene)
