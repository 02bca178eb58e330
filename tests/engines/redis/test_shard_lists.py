"""Lists of Redis servers: what a URL may list, starts, and what another list begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.engines import examine_store, open_engine
from itemwire.engines.base import EngineError, Sink
from itemwire.engines.faults import PART_AWAY
from itemwire.engines.redis import claims
from itemwire.engines.redis.target import urls_of
from itemwire.messages import Position
from tests.conformance.asked_engine import BOUNDS
from tests.engines.redis.shard_scene import (
    NUMBERS,
    Place,
    fault_of,
    publish,
    running_place,
    started,
    until,
    until_fault,
)
from tests.engines.watched import play
from tests.redis_server import all_entered, url_of_all


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Run the servers and proxies of a test."""
    with running_place(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("url", "urls"),
    [
        ("redis://a", ["redis://a"]),
        ("redis://a,b:1", ["redis://a", "redis://b:1"]),
        (
            "rediss://u:p,q@a,[::1]:2/3?ssl_check_hostname=no,yes",
            [
                "rediss://u:p,q@a/3?ssl_check_hostname=no,yes",
                "rediss://u:p,q@[::1]:2/3?ssl_check_hostname=no,yes",
            ],
        ),
        ("valkey://a,b", ["valkey://a", "valkey://b"]),
        ("valkeys://a,b", ["valkeys://a", "valkeys://b"]),
        ("redis://a?client_name=x,y", ["redis://a?client_name=x,y"]),
        ("redis+sentinel://a,b/s", ["redis+sentinel://a,b/s"]),
        ("unix:///run/a,b.sock", ["unix:///run/a,b.sock"]),
    ],
)
def test_a_list_of_hosts_is_a_list_of_servers(url: str, urls: list[str]) -> None:
    """Each with the user, the database and the options of all."""
    assert urls_of(url) == urls


@pytest.mark.parametrize("url", ["redis://a,,b", "redis://a,b,", "redis://a,a:6379,b"])
def test_a_list_that_cannot_be_meant_is_refused(url: str) -> None:
    """Two of a majority that are one would be none."""
    with pytest.raises(ValueError, match="ITEMWIRE_ENGINE_URL"):
        open_engine(url, BOUNDS)


def test_two_names_of_one_server_are_refused_at_the_start(place: Place) -> None:
    """The names differ, so that only the server itself tells."""
    first, second, _ = place.servers
    twice = url_of_all((first.port, second.port)).replace("/0", f",localhost:{first.port}/0")

    async def scene() -> None:
        with pytest.raises(EngineError, match="two names lead to one server"):
            await open_engine(twice, BOUNDS).start(Sink())

    play(scene)


def test_a_node_starts_without_one_server_and_takes_it_when_it_comes(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Else nothing could be deployed until it is back; the log names it."""
    channel, name = place.channel_of(1), f"127.0.0.1:{place.proxies[1].port}"

    async def scene() -> None:
        with place.proxies[1].away():
            engine = open_engine(place.url, BOUNDS)
            await engine.start(Sink())
            assert engine.fault is await fault_of(engine, channel) is PART_AWAY
            away = f"engine_part_away server={name} problem=cannot use"
            await until(lambda: away in caplog.text)
        await until_fault(engine, None)
        await publish(engine, channel)
        await until(lambda: f"engine_part_back server={name}" in caplog.text)
        await engine.stop()

    play(scene)


def test_a_node_does_not_start_without_a_majority(place: Place) -> None:
    """It would not know who was revoked."""

    async def scene() -> None:
        refused = pytest.raises(EngineError, match=r"cannot use redis://127.0.0.1:\d+/0")
        with place.proxies[1].away(), place.proxies[2].away(), refused:
            await open_engine(place.url, BOUNDS).start(Sink())

    play(scene)


def test_nodes_with_another_list_do_not_start_while_nodes_run(place: Place) -> None:
    """They would look for an item elsewhere, and not hear each other; the same list is taken."""

    async def scene() -> None:
        async with started(open_engine(place.url, BOUNDS)) as running:
            before = await publish(running, "item:1")
            with pytest.raises(EngineError, match="nodes run with another list of servers"):
                await open_engine(place.reordered, BOUNDS).start(Sink())
            async with started(open_engine(place.url, BOUNDS)) as same:
                after = [await publish(one, "item:1") for one in (running, same)]

            assert after == [Position(before.epoch, 2), Position(before.epoch, 3)]

    play(scene)


def test_a_server_that_nodes_with_another_list_have_taken_is_away_until_they_end(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after it was emptied: this node asks nothing of it any more, and says why."""
    monkeypatch.setattr("itemwire.engines.redis.shard.CLAIM_SECONDS", 0.05)
    channel, server = place.channel_of(1), place.servers[1]

    async def scene() -> None:
        async with started(open_engine(place.url, BOUNDS)) as engine:
            server.ask("SET", "itemwire:0:servers", "another")
            await until_fault(engine, PART_AWAY)
            assert await fault_of(engine, channel) is PART_AWAY
            await until(lambda: "nodes run with another list of servers" in caplog.text)
            place.proxies[1].cut()  # a new connection does not change it
            assert engine.fault is PART_AWAY
            server.ask("DEL", "itemwire:0:servers")
            await until_fault(engine, None)
            await publish(engine, channel)

    play(scene)


def test_another_list_begins_new_epochs_and_the_first_one_too_when_it_comes_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item was published to elsewhere meanwhile: who resumes must be told."""
    monkeypatch.setattr(claims, "CLAIMED_SECONDS", 0.05)
    channels = [place.channel_of(number) for number in NUMBERS]

    def is_claimed() -> bool:
        return any(b":1" in one.ask("EXISTS", "itemwire:0:servers") for one in place.servers)

    async def publish_with(url: str) -> list[str]:
        await until(lambda: not is_claimed())  # by the nodes before
        async with started(open_engine(url, BOUNDS)) as engine:
            return [(await publish(engine, channel)).epoch for channel in channels]

    async def scene() -> None:
        first, same, other, back = [
            await publish_with(url) for url in (place.url, place.url, place.reordered, place.url)
        ]

        assert first == same
        for number in NUMBERS:
            assert len({first[number], other[number], back[number]}) == 3

    play(scene)


def test_the_doctor_looks_at_each_server(place: Place) -> None:
    """And names the one that does not answer."""
    away = f"127.0.0.1:{place.proxies[2].port}: "

    async def scene() -> None:
        whole = await examine_store(place.url)
        with place.proxies[2].away():
            part = await examine_store(place.url)
        assert whole is not None
        assert part is not None

        assert [one.says for one in whole.concerns if one.is_fault] == []
        assert [one.says.startswith(away) for one in part.concerns if one.is_fault] == [True]
        with all_entered([one.away for one in place.proxies]), pytest.raises(EngineError):
            await examine_store(place.url)

    play(scene)
