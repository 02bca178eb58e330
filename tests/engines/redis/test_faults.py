"""The Redis engine while its server is killed, stopped, cut off or full."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from itemwire.engines.base import Bounds, EngineError, Span
from itemwire.engines.faults import FORBIDDEN
from itemwire.engines.redis import engine as redis_engine
from itemwire.messages import Position
from tests.conformance.network_faults_contract import NetworkFaultsContract
from tests.engines.watched import Watched, node, play
from tests.fakes import CHANNEL
from tests.proxy import Proxy
from tests.redis_server import RedisServer, running_redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a server of this test alone."""
    with running_redis(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def _unlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be healed by the look that comes now and then."""
    monkeypatch.setattr(redis_engine, "CHECK_SECONDS", 1000)


@contextlib.contextmanager
def proxied(server: RedisServer) -> Iterator[tuple[Proxy, str]]:
    """Put a proxy in front of a server."""
    with Proxy(server.port).running() as proxy:
        yield proxy, f"redis://127.0.0.1:{proxy.port}/0"


class TestNetworkFaults(NetworkFaultsContract):
    """A server that keeps nothing: each of its lives begins new epochs."""

    module = redis_engine
    epochs_go_on = False
    last_words = b"-ERR max number of clients reached\r\n"

    @pytest.fixture(autouse=True)
    def _take_server(self, server: RedisServer) -> None:
        self.server, self.url = server, server.url

    @override
    async def deafen(self, watched: Watched) -> None:
        engine = watched.engine
        assert isinstance(engine, redis_engine.RedisEngine)
        engine._servers.leave(engine._keys(CHANNEL).live)


def test_a_connection_that_breaks_is_made_anew_before_anything_is_refused(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment without one is no reason to trouble publishers."""
    monkeypatch.setattr("itemwire.engines.tasks.FIRST_PAUSE", 0.5)

    async def scene(proxy: Proxy, url: str) -> None:
        async with node(url) as one:
            engine = one.engine
            assert isinstance(engine, redis_engine.RedisEngine)
            assert engine._servers._only is not None
            requests = engine._servers._only.requests
            await asyncio.to_thread(proxy.cut)
            await one.until(lambda: not requests.is_connected)
            await asyncio.gather(*(one.publish(str(number)) for number in range(10)))
            one.check()

            assert len(one.texts) == 10

    with proxied(server) as (proxy, url):
        play(lambda: scene(proxy, url))


def test_says_what_was_forgotten_while_it_was_away(server: RedisServer) -> None:
    """Longer than the history reaches back: a flagged loss, and then on without a hole."""
    bounds = Bounds(messages=5, bytes=1_000_000, seconds=300)

    async def scene(proxy: Proxy, url: str) -> None:
        async with node(server.url, bounds) as one, node(url, bounds) as other:
            await one.publish("first")
            await other.until(lambda: len(other.log) == 1)
            with proxy.away():
                await other.until(lambda: not other.engine.is_available)
                positions = [await one.publish(str(number)) for number in range(20)]
            await other.until(lambda: len(other.texts) == 6)
            other.check()

            assert other.losses == [Position(positions[0].epoch, 16)]
            assert other.texts[1:] == ["15", "16", "17", "18", "19"]

    with proxied(server) as (proxy, url):
        play(lambda: scene(proxy, url))


def test_begins_a_new_epoch_with_each_life_of_the_server(tmp_path: Path) -> None:
    """One that comes back with an older state would give the same offsets to other messages."""

    async def scene(server: RedisServer) -> None:
        async with node(server.url) as one:
            before = await one.publish("a")
            server.ask("SAVE")
            await one.publish("b")
            server.kill()
            await asyncio.to_thread(server.start)  # from the dump, in which "b" is not
            await one.until(lambda: one.engine.is_available)
            after = await one.publish_at_last("c")
            await one.until_at(after)
            one.check()

            assert after.epoch != before.epoch
            assert [position.epoch for position in one.losses] == [after.epoch]
            assert [each.data for each in (await one.read()).publications] == ["c"]

    with running_redis(tmp_path) as server:
        play(lambda: scene(server))


def test_finds_what_only_its_pub_sub_connection_missed(server: RedisServer) -> None:
    """Its requests went on; the other connection is made again by itself."""

    async def scene() -> None:
        async with node(server.url) as one, node(server.url) as other:
            for number in range(5):
                server.ask("CLIENT", "KILL", "TYPE", "pubsub")
                await one.publish(str(number))
            await other.until(lambda: len(other.texts) == 5)
            other.check()

            assert other.losses == []

    play(scene)


def test_knows_that_nothing_comes_where_it_listens(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cable that was pulled ends no connection: silence does (requirement 117)."""
    monkeypatch.setattr("itemwire.engines.redis.requests.REQUEST_SECONDS", 1000)

    async def scene(proxy: Proxy, url: str) -> None:
        async with node(url) as one:
            with proxy.silent():
                await one.until(lambda: not one.engine.is_available)
            await one.until(lambda: one.engine.is_available)

    with proxied(server) as (proxy, url):
        play(lambda: scene(proxy, url))


def test_answers_a_read_after_what_it_has_was_delivered(server: RedisServer) -> None:
    """What comes after the answer must be beyond it, though the two come by different ways."""

    async def scene() -> None:
        async with node(server.url) as one, node(server.url) as other:
            for number in range(100):
                publishing = asyncio.create_task(one.publish(str(number)))
                history = await other.read(Span(1))
                heard = len(other.log)
                await publishing
                assert heard >= history.position.offset

    play(scene)


def test_a_full_server_fails_the_publish_and_nothing_else(server: RedisServer) -> None:
    """Reads, joins and what waits to be taken go on (requirement 118)."""

    async def scene() -> None:
        async with node(server.url) as one:
            await one.publish("before")
            await one.put("k", b"v")
            server.ask("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(EngineError, match="maxmemory"):
                await one.publish("too much")
            history = await one.read()
            nothing, again = [await one.read(channel="item:new") for _ in range(2)]
            value = await one.take("k")
            await one.subscribe("item:new")
            server.ask("CONFIG", "SET", "maxmemory", "0")

            assert [each.data for each in history.publications] == ["before"]
            assert nothing == again
            assert (nothing.position.offset, value) == (0, b"v")
            assert one.engine.is_available
            assert (await one.publish("after")).offset == 2
            one.check()

    play(scene)


def test_a_server_that_became_a_replica_is_away_until_it_is_none(server: RedisServer) -> None:
    """What it would take it would lose; another one may answer under its name soon."""

    async def scene() -> None:
        async with node(server.url) as one:
            await one.publish("before")
            server.ask("REPLICAOF", "127.0.0.1", 1)
            with pytest.raises(EngineError):
                await one.publish("into nothing")
            await one.until(lambda: not one.engine.is_available)
            with pytest.raises(EngineError, match="replica"):
                await one.publish("into nothing again")
            server.ask("REPLICAOF", "NO", "ONE")
            after = await one.publish_at_last("after")
            await one.until_at(after)
            await one.until(lambda: one.engine.is_available)
            one.check()

            assert [loss.epoch for loss in one.losses] == [after.epoch]  # it may have lost some

    play(scene)


def test_goes_on_when_somebody_has_flushed_the_scripts(server: RedisServer) -> None:
    """They are sent again, and the message is stored once."""

    async def scene() -> None:
        async with node(server.url) as one:
            await one.publish("a")
            server.ask("SCRIPT", "FLUSH")
            await asyncio.gather(*(one.publish(str(number)) for number in range(20)))
            one.check()

            assert len(one.texts) == 21

    play(scene)


def test_goes_on_after_a_fault_of_its_own(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the connection is made again as after any other."""

    async def scene() -> None:
        async with node(server.url) as one:
            with monkeypatch.context() as broken:
                broken.setattr(
                    "itemwire.engines.redis.requests.RedisRequests._take_commands", lambda _: 1 / 0
                )
                with pytest.raises(EngineError, match="in time"):
                    await one.publish("lost")
            await one.publish_at_last("after")

            assert one.texts == ["after"]

    play(scene)

    assert "ZeroDivisionError" in caplog.text


def test_lets_no_more_wait_than_it_has_room_for(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent server must not fill this process: what is more is refused (requirement 117)."""
    monkeypatch.setattr("itemwire.engines.redis.requests.MAX_IN_FLIGHT_BYTES", 100_000)

    async def scene(proxy: Proxy, url: str) -> None:
        async with node(url) as one:
            with proxy.silent():
                begun = time.monotonic()
                publishing = [asyncio.create_task(one.publish("x" * 1000)) for _ in range(200)]
                done, _ = await asyncio.wait(publishing, timeout=1.9, return_when="FIRST_COMPLETED")
                took = time.monotonic() - begun
                errors = await asyncio.gather(*publishing, return_exceptions=True)

            assert 100 < len(done) < 200
            assert took < 1.4  # a request is given up after one and a half
            assert all(isinstance(error, EngineError) for error in errors)

    with proxied(server) as (proxy, url):
        play(lambda: scene(proxy, url))


def test_nodes_agree_on_the_life_of_a_server_that_was_restarted_and_emptied(
    tmp_path: Path,
) -> None:
    """The one that connects after the emptying must not begin an epoch against the other's."""

    async def scene(server: RedisServer) -> None:
        async with node(server.url) as one:
            await one.publish("before")
            await asyncio.to_thread(server.ask, "SAVE")
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await one.publish_at_last("restarted")
            assert (await asyncio.to_thread(server.ask, "FLUSHALL")).startswith(b"+OK")
            async with node(server.url) as other:
                first = await one.publish("emptied")
                turns = [await each.publish(f"{n}") for n, each in enumerate((other, one) * 3)]

        assert [each.epoch for each in turns] == [first.epoch] * 6
        assert [each.offset for each in turns] == [first.offset + 1 + n for n in range(6)]

    with running_redis(tmp_path) as server:
        play(lambda: scene(server))


def test_what_may_not_be_told_is_stored_and_heard_later(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told that it was refused; what nodes tell each other is, and shows it (134)."""
    monkeypatch.setattr(redis_engine, "CHECK_SECONDS", 0.2)

    async def scene() -> None:
        async with node(server.url) as here, node(server.url) as there:
            await here.publish("before")
            server.ask("ACL", "SETUSER", "default", "-publish")
            stored = await here.publish("stored")
            with pytest.raises(EngineError) as refused:
                await here.post(b"a notice")
            await there.until(lambda: there.texts == ["before", "stored"])
            assert (await here.read()).position == stored
            server.ask("ACL", "SETUSER", "default", "+publish")
            await here.post(b"another")

            assert refused.value.fault is FORBIDDEN

    play(scene)
