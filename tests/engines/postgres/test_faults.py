"""The PostgreSQL engine while its server is killed, stopped, cut off, replaced or emptied."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import asyncpg
import pytest
from typing_extensions import override

from itemwire.engines import init_store
from itemwire.engines.base import Bounds, EngineError
from itemwire.engines.postgres import engine as postgres_engine
from itemwire.engines.postgres import publishing as postgres_publishing
from itemwire.messages import Position
from tests.conformance.network_faults_contract import NetworkFaultsContract, all_have
from tests.engines.postgres.database import engine_of, new_database, publish_to
from tests.engines.watched import Watched, node, play
from tests.fakes import CHANNEL
from tests.postgres_server import TERMINATE, PostgresServer, drop_store, execute, running_postgres
from tests.proxy import Proxy
from tests.timing import BUSY_SECONDS


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Run a server for the tests of this file, one after the other."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    """Make a database of this test alone."""
    return new_database(server)


@pytest.fixture(autouse=True)
def _unlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be healed by the look that comes now and then."""
    monkeypatch.setattr(postgres_engine, "CHECK_SECONDS", 1000)


@contextlib.contextmanager
def proxied(server: PostgresServer, url: str) -> Iterator[tuple[Proxy, str]]:
    """Put a proxy in front of a server."""
    with Proxy(server.port).running() as proxy:
        yield proxy, url.replace(str(server.port), str(proxy.port))


class TestNetworkFaults(NetworkFaultsContract):
    """A database: what was committed is there, and epochs go on."""

    module = postgres_engine
    epochs_go_on = True
    last_words = b"E\0\0\0\x3dSFATAL\0VFATAL\0C57P01\0Mterminating connection by command\0\0"

    @pytest.fixture(autouse=True)
    def _take_server(self, server: PostgresServer, url: str) -> None:
        self.server, self.url = server, url

    @override
    async def deafen(self, watched: Watched) -> None:
        await engine_of(watched)._listener.fetch("UNLISTEN *")


def test_takes_messages_to_other_nodes_even_if_none_is_remembered(url: str) -> None:
    """History has a bound of its own: what is live is not bound by it."""
    bounds = Bounds(messages=0, bytes=0, seconds=0)

    async def scene() -> None:
        async with node(url, bounds) as one, node(url, bounds) as other:
            for number in range(20):
                await one.publish(str(number))
            await all_have(20, one, other)

            assert other.losses == []
            assert (await other.read()).publications == []

    play(scene)


def test_tells_notices_to_all_nodes(url: str) -> None:
    """A revocation holds everywhere (70)."""

    async def scene() -> None:
        async with node(url) as one, node(url) as other:
            for name in (b"a", b"b"):
                await one.post(name)
            for each in (one, other):
                await each.until(lambda each=each: each.noticed == [b"a", b"b"])  # type: ignore[misc] # as above

    play(scene)


def test_delivers_what_was_stored_though_its_publisher_was_cut_off(
    server: PostgresServer, url: str
) -> None:
    """An error says that nobody knows; a retry with its key tells, and all nodes agree (111)."""

    async def scene(proxy: Proxy, through: str) -> None:
        async with node(through) as one, node(url) as other:
            for number in range(100):
                if number % 20 == 10:
                    publishing = asyncio.create_task(one.publish_at_last(str(number)))
                    await asyncio.sleep(0)
                    await asyncio.to_thread(proxy.cut)
                    await publishing
                else:
                    await one.publish_at_last(str(number))
            await all_have(100, one, other)

            assert one.log == other.log
            assert one.losses == []

    with proxied(server, url) as (proxy, through):
        play(lambda: scene(proxy, through))


def test_says_what_was_forgotten_while_it_was_away(server: PostgresServer, url: str) -> None:
    """Longer than the messages are kept: a flagged loss, and then on without a hole."""

    async def scene(proxy: Proxy, through: str) -> None:
        async with node(url) as one, node(through) as other:
            await one.publish("first")
            await all_have(1, other)
            with proxy.away():
                await other.until(lambda: not other.engine.is_available)
                positions = [await one.publish(str(number)) for number in range(20)]
                await execute(url, 'DELETE FROM itemwire.messages WHERE "offset" <= 16')
            await all_have(6, other)

            assert other.losses == [Position(positions[0].epoch, 16)]
            assert other.texts[1:] == ["15", "16", "17", "18", "19"]

    with proxied(server, url) as (proxy, through):
        play(lambda: scene(proxy, through))


def test_hears_again_after_it_was_terminated_and_no_end_came(
    server: PostgresServer, url: str
) -> None:
    """A fast restart behind a proxy: each backend says FATAL, and its close is lost (141)."""

    async def scene(proxy: Proxy, through: str) -> None:
        async with node(through) as one:
            await one.publish("before")
            with proxy.losing_ends():
                await execute(url, TERMINATE)
                await one.until(lambda: proxy.dead > 0)
            await one.until(lambda: proxy.dead == 0)
            await one.until(lambda: one.engine.is_available)
            await execute(url, "SELECT itemwire_publish('42', '\"heard\"')")
            await one.publish_at_last("published")
            await all_have(3, one)

            assert one.losses == []
            assert (await one.read()).position.offset == 3

    with proxied(server, url) as (proxy, through):
        play(lambda: scene(proxy, through))


@pytest.mark.parametrize(
    "fault",
    [
        None,
        ZeroDivisionError(),
        asyncio.CancelledError(),
        asyncpg.InterfaceError("another operation is in progress"),
    ],
    ids=["an end in mid-query", "its own fault", "its own cancellation", "a state it is stuck in"],
)
def test_goes_on_after_whatever_its_client_library_throws(
    url: str, monkeypatch: pytest.MonkeyPatch, fault: BaseException | None
) -> None:
    """Time runs out between the two steps of a query, say: nothing may stop for good (117)."""
    find_statement = asyncpg.Connection._get_statement

    async def fail(connection: asyncpg.Connection, *query: object, **options: object) -> object:
        if fault is not None:
            raise fault
        connection.terminate()
        return await find_statement(connection, *query, **options)

    async def scene() -> None:
        async with node(url) as one:
            with monkeypatch.context() as broken:
                broken.setattr(asyncpg.Connection, "_get_statement", fail)
                with pytest.raises(EngineError):
                    await one.publish("lost")
                with pytest.raises(EngineError):
                    await one.read()
                await one.until(
                    lambda: not any(link.is_connected for link in engine_of(one)._connections)
                )
            await one.publish_at_last("after")
            await one.until(lambda: one.engine.is_available)
            one.check()

            assert one.texts == ["after"]

    play(scene)


@pytest.mark.parametrize("name", ["listening", "publishing", "waiting", "reading", "other"])
def test_makes_a_connection_anew_that_is_closed_without_a_word(url: str, name: str) -> None:
    """Asyncpg calls no termination listener where an error arrives between two queries (117)."""

    async def scene() -> None:
        async with node(url) as one, node(url) as other:
            (link,) = [each for each in engine_of(one)._connections if each._name == name]
            dead = link._connection
            assert isinstance(dead, asyncpg.Connection)
            dead._termination_listeners.clear()
            dead._transport.abort()
            await one.until(dead.is_closed)
            assert not one.engine.is_available
            await one.until(lambda: link._connection not in {None, dead})
            await one.until(lambda: one.engine.is_available)
            await other.publish("heard")
            await one.publish("published")
            await all_have(2, one, other)
            assert (await one.read()).position.offset == 2
            await one.put("k", b"v")

    play(scene)


def test_begins_a_new_epoch_when_the_schema_was_made_anew(url: str) -> None:
    """Nobody takes the new count for the old one; notices begin anew, too (113)."""

    async def scene() -> None:
        async with node(url) as one, node(url) as other:
            before = [await one.publish(str(number)) for number in range(3)]
            await one.post(b"old")
            await all_have(3, other)
            await drop_store(url)
            with pytest.raises(EngineError):
                await one.publish("into nothing")
            await asyncio.to_thread(init_store, url)
            after = await one.publish_at_last("after")
            for each in (one, other):
                await each.until_at(after)
                each.check()
                assert [loss.epoch for loss in each.losses] == [after.epoch]
            await one.post(b"new")
            await other.until(lambda: b"new" in other.noticed)

            assert after.epoch != before[0].epoch
            assert [after.offset, (await one.publish("more")).offset] == [1, 2]

    play(scene)


def test_begins_a_new_epoch_when_a_replica_took_over(server: PostgresServer, url: str) -> None:
    """It may lack the newest messages, and would give their offsets to others (113)."""

    async def scene() -> None:
        async with node(url) as one:
            before = await one.publish("before")
            server.kill()
            await asyncio.to_thread(server.start_as_replica)
            with pytest.raises(EngineError):
                await one.publish("a replica takes no writes")
            await asyncio.to_thread(server.promote)
            after = await one.publish_at_last("after")
            await one.until_at(after)
            one.check()

            assert after.epoch != before.epoch
            assert [loss.epoch for loss in one.losses] == [after.epoch]

    try:
        play(scene)
    finally:
        server.kill()
        server.start()


def test_refuses_more_than_it_has_room_for_at_once(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server says nothing, what waits is bounded (117)."""
    monkeypatch.setattr(postgres_publishing, "MAX_WAITING", 10)

    async def scene() -> None:
        async with node(url) as one:
            with server.paused():
                begun = time.monotonic()
                answers = await asyncio.gather(
                    *(one.publish(str(number)) for number in range(50)), return_exceptions=True
                )
                assert time.monotonic() - begun < 2.2 + BUSY_SECONDS
            assert len([each for each in answers if "room" in str(each)]) == 40
            await one.publish_at_last("after")
            assert engine_of(one)._publisher._count == 0

    play(scene)


def test_publishers_of_two_nodes_share_a_channel_without_starving(url: str) -> None:
    """Who finds the channel held by the other waits for it; nobody is refused (102)."""

    async def flood(watched: Watched, name: str) -> None:
        for number in range(100):
            await watched.publish(f"{name}{number}")

    async def scene() -> None:
        async with node(url) as one, node(url) as other:
            await asyncio.gather(
                *(flood(one, f"a{each}-") for each in range(8)),
                *(flood(other, f"b{each}-") for each in range(8)),
                *(publish_to(other, f"{CHANNEL}{each}", "beside") for each in range(100)),
            )
            await all_have(1600, one, other)
            assert one.log == other.log

    play(scene)
