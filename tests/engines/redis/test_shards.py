"""The engine on several Redis servers: what each has, and what is left when one is away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from itemwire.engines import open_engine
from itemwire.engines.base import PROBE, EngineError, Sink
from itemwire.engines.faults import FULL, PART_AWAY, EngineFault
from itemwire.messages import Position
from tests.conformance.asked_engine import BOUNDS, WAIT_SECONDS, answer_of
from tests.engines.redis.shard_scene import (
    NUMBERS,
    Place,
    fault_of,
    keys_of,
    metered,
    proxied_shards,
    publish,
    running_place,
    started,
    subscribe,
    until,
    until_fault,
)
from tests.engines.watched import node, play
from tests.proxy import Proxy
from tests.redis_server import RedisServer


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Run the servers and proxies of a test."""
    with running_place(tmp_path) as running:
        yield running


def test_each_item_is_on_one_server_and_each_server_has_a_third(place: Place) -> None:
    """By the slots of a cluster, divided evenly in the order of the list."""

    async def scene() -> None:
        async with started(open_engine(place.url, BOUNDS)) as engine:
            for number in range(300):
                await publish(engine, f"item:{number}")

    play(scene)
    counts = [keys_of(server, "*:m") for server in place.servers]

    assert sum(counts) == 300
    assert min(counts) > 70


@pytest.mark.parametrize("away", NUMBERS)
def test_what_the_other_servers_have_is_served_as_ever(place: Place, away: int) -> None:
    """What the lost one has is refused at once, and served again when it is back."""
    lost, another, *_ = place.channels_of(away)
    kept = [place.channel_of(number) for number in NUMBERS if number != away]
    heard: list[str] = []
    missed: list[str] = []
    sink = Sink(lambda channel, _news: heard.append(channel), miss=missed.append)

    async def scene() -> None:
        async with started(open_engine(place.url, BOUNDS), sink) as engine:
            for channel in (lost, *kept):
                await subscribe(engine, channel)
            first = await publish(engine, lost)
            with place.proxies[away].away():
                await until_fault(engine, PART_AWAY)
                assert engine.is_available
                assert list(engine.parts.values()) == [number != away for number in NUMBERS]
                assert await fault_of(engine, lost) is PART_AWAY
                assert [await fault_of(engine, channel) for channel in kept] == [None, None]
                with pytest.raises(EngineError):
                    await subscribe(engine, another)
            await until_fault(engine, None)
            after = await publish(engine, lost)
            await until(lambda: missed.count(lost) == 2)  # at the beginning, and anew

            assert after == Position(first.epoch, 2)
            assert sorted(heard) == sorted([lost, *kept, lost])

    play(scene)


def test_without_a_majority_a_node_is_not_ready(place: Place) -> None:
    """It might not hear of a revocation."""

    async def scene() -> None:
        async with node(place.url) as watched:
            with place.proxies[0].away(), place.proxies[2].away():
                await watched.until(lambda: not watched.engine.is_available)
                with pytest.raises(EngineError):
                    await watched.post(b"revoked")
            await watched.until(lambda: watched.engine.is_available)
            await watched.post(b"after")
            await watched.until(lambda: b"after" in watched.noticed)

    play(scene)


@pytest.mark.parametrize("of_sender", NUMBERS)
@pytest.mark.parametrize("of_reader", NUMBERS)
def test_what_was_revoked_is_known_whichever_servers_are_away(
    place: Place, of_sender: int, of_reader: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is away from who posts, another from who hears, and from who starts later."""
    monkeypatch.setattr("itemwire.engines.redis.opening.list_of", lambda _names: "shards")

    async def scene(others: list[Proxy], other_url: str) -> None:
        async with node(place.url) as sender, node(other_url) as hearer:
            with place.proxies[of_sender].away(), others[of_reader].away():
                await until_fault(sender.engine, PART_AWAY)
                await until_fault(hearer.engine, PART_AWAY)
                await sender.post(b"revoked")
                await hearer.until(lambda: hearer.noticed == [b"revoked"])
                known: list[bytes] = []
                async with started(open_engine(other_url, BOUNDS), Sink(apply=known.append)):
                    assert known == [b"revoked"]
            await until_fault(hearer.engine, None)
            await sender.post(b"last")
            await hearer.until(lambda: hearer.noticed[-1] == b"last")

            assert hearer.noticed == [b"revoked", b"last"]  # each copy was one notice

    with proxied_shards(place.servers) as (others, other_url):
        play(lambda: scene(others, other_url))


@pytest.mark.parametrize("emptied", NUMBERS)
def test_the_secret_outlives_each_server(place: Place, emptied: int) -> None:
    """Proofs that were given before are valid after, on whichever server the item is."""

    async def scene() -> None:
        async with (
            started(open_engine(place.url, BOUNDS)) as one,
            started(open_engine(place.url, BOUNDS)) as other,
        ):
            first, second = await asyncio.gather(answer_of(one.secret), answer_of(other.secret))
            place.servers[emptied].ask("FLUSHALL")
            third = await answer_of(one.secret)
            with place.proxies[(emptied + 1) % 3].away():
                await until_fault(other, PART_AWAY)
                fourth = await answer_of(other.secret)

            assert first == second == third == fourth

    play(scene)


def test_nodes_agree_on_one_secret_where_servers_differ(place: Place) -> None:
    """As after nodes that each saw other servers had made one."""

    async def scene() -> None:
        async with (
            started(open_engine(place.url, BOUNDS)) as one,
            started(open_engine(place.url, BOUNDS)) as other,
        ):
            for server, letter in zip(place.servers, "bac", strict=True):
                server.ask("SET", "itemwire:0:secret", letter * 32)
            secrets = [await answer_of(one.secret), await answer_of(other.secret)]

            assert secrets == [b"a" * 32] * 2
            for server in place.servers:
                assert b"a" * 32 in server.ask("GET", "itemwire:0:secret")

    play(scene)


async def until_refused_again(server: RedisServer) -> None:
    """Wait until a full server has refused one write more."""

    def refused() -> int:
        found = re.search(rb"errorstat_OOM:count=(\d+)", server.ask("INFO", "errorstats"))
        return int(found[1]) if found else 0

    before = refused()
    async with asyncio.timeout(WAIT_SECONDS):
        while refused() == before:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.01)


def test_a_server_that_stores_nothing_degrades_until_it_does(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tried is tried on each of them: else the node would say that all is well again."""
    monkeypatch.setattr("itemwire.engines.write_watch.PROBE_SECONDS", 0.1)
    channel = place.channel_of(2)

    async def scene() -> None:
        engine = metered(place.url)
        async with started(engine):
            await publish(engine, channel)
            place.servers[2].ask("CONFIG", "SET", "maxmemory", 1)
            assert await fault_of(engine, channel) is FULL
            for _ in range(3):  # each is tried, and the full one refuses
                await until_refused_again(place.servers[2])
                assert engine.fault is FULL
            place.servers[2].ask("CONFIG", "SET", "maxmemory", 0)
            await until_fault(engine, None)
            await publish(engine, channel)

    play(scene)


def test_a_server_that_stands_still_is_away_and_the_others_store(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits longer than for any answer, and the node does not say that all are silent."""
    channel, faults = place.channel_of(0), set[EngineFault | None]()

    async def scene() -> None:
        engine = metered(place.url)
        async with started(engine):
            with place.servers[0].paused():
                assert await fault_of(engine, channel) is PART_AWAY
                loop = asyncio.get_running_loop()
                over = loop.time() + 4
                while loop.time() < over:
                    faults.add(engine.fault)
                    assert await fault_of(engine, place.channel_of(1)) is None
                    await asyncio.sleep(0.05)
            await until_fault(engine, None)

    play(scene)

    assert faults == {PART_AWAY}
    assert "engine_degraded" not in caplog.text  # it is known without a try


def test_what_is_tried_is_tried_under_every_name(place: Place) -> None:
    """An item may be called the same, and is on one server all the same."""

    async def scene() -> None:
        for name in ("", "shop"):
            async with started(open_engine(place.url, BOUNDS, name)) as engine:
                assert list(engine.parts.values()) == [True, True, True]
                await answer_of(partial(engine.put, PROBE, b"", 60))
                await publish(engine, PROBE)
                await publish(engine, f"item:{PROBE}")

    play(scene)
    counts = sorted(keys_of(server, "*probe*:m") for server in place.servers)

    assert [keys_of(server, "*:value:*") for server in place.servers] == [2, 2, 2]
    assert sum(counts) == 3 * 2 + 2
    assert counts[0] >= 2


def test_values_are_taken_once_wherever_they_are(place: Place) -> None:
    """Each key has a server, whichever node asks."""

    async def scene() -> None:
        async with node(place.url) as one, node(place.url) as other:
            for number in range(30):
                await one.put(f"key{number}", b"value")
            taken = [await other.take(f"key{number}") for number in range(30)]
            again = [await one.take(f"key{number}") for number in range(30)]

            assert taken == [b"value"] * 30
            assert again == [None] * 30

    play(scene)
