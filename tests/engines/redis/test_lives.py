"""Nodes on one Redis server agree on its life, whatever each of them has seen of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.messages import Position
from tests.engines.watched import Watched, node, play
from tests.proxy import Proxy
from tests.redis_server import RedisServer, running_redis

LIFE_KEY = "itemwire:0:life"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """Run two servers that know nothing of each other."""
    with contextlib.ExitStack() as stack:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        one, two = [
            stack.enter_context(running_redis(tmp_path / name, "--repl-diskless-sync-delay", "0"))
            for name in ("one", "two")
        ]
        yield one, two


async def agree(here: Watched, there: Watched) -> None:
    """See that they publish in turns to one epoch, once each has been answered."""
    await there.publish_at_last("first of there")
    last = await here.publish_at_last("first of here")
    for number in range(3):
        for one in (there, here):
            position = await one.publish(f"{number} of {id(one)}")
            assert position == Position(last.epoch, last.offset + 1)
            last = position
    for one in (here, there):
        await one.until(lambda one=one: one.log[-1].offset == last.offset)  # type: ignore[misc] # a default is how a loop's lambda keeps its value
        one.check()


def test_a_life_is_doubted_by_those_alone_who_have_seen_it_end(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    """An emptied server may call its next life as the one before: that one is not in doubt."""
    one, two = pair

    async def scene(proxy: Proxy) -> None:
        async with node(f"redis://127.0.0.1:{proxy.port}/0") as there:
            await there.publish("before")
            name = one.ask("HGET", LIFE_KEY, "name")
            one.follow(two)  # which has nothing
            await there.until(lambda: not there.engine.is_available)
            async with contextlib.AsyncExitStack() as stack:
                with proxy.away():
                    one.ask("REPLICAOF", "NO", "ONE")
                    here = await stack.enter_async_context(node(one.url))
                    assert one.ask("HGET", LIFE_KEY, "name") == name
                await there.until(lambda: there.engine.is_available)
                await agree(here, there)
                assert (here.losses, len(there.losses)) == ([], 1)

    with Proxy(one.port).running() as proxy:
        play(lambda: scene(proxy))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("HSET", LIFE_KEY, "name", "another"), id="renamed"),
        pytest.param(("FLUSHALL",), id="emptied"),
    ],
)
def test_a_node_learns_of_a_life_that_another_has_begun(
    pair: tuple[RedisServer, RedisServer], words: tuple[str, ...]
) -> None:
    """Else each publish of one would end the epoch of the other, for ever (113)."""
    one, two = pair

    async def scene() -> None:
        two.follow(one)
        async with node(one.url) as before:
            await before.publish("kept")
            two.catch_up(one)
            two.ask("REPLICAOF", "NO", "ONE")
        async with node(two.url) as meanwhile:
            await meanwhile.publish("meanwhile")
        one.follow(two)
        one.ask("REPLICAOF", "NO", "ONE")
        async with node(one.url) as here:  # in a life with a name of its own
            await here.publish("back again")
            one.ask(*words)
            async with node(one.url) as there:
                await agree(here, there)

    play(scene)
