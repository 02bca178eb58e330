"""The PostgreSQL engine on a store that has gone back behind what its nodes have seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from itemwire.engines.postgres import engine as postgres_engine
from tests.conformance.asked_engine import WAIT_SECONDS
from tests.engines.postgres.database import new_database
from tests.engines.watched import node, play
from tests.postgres_server import PostgresServer, execute, running_postgres
from tests.proxy import Proxy

LIFE: Final = "SELECT itemwire.life()"

PutBack = Callable[[], Awaitable[object]]


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


def test_an_older_copy_of_the_files_begins_a_new_life(
    server: PostgresServer, url: str, tmp_path: Path
) -> None:
    """It goes back under the same timeline; a node that has seen more says so to all (113)."""

    async def copy() -> PutBack:
        server.kill()
        server.copy_to(tmp_path / "copy")
        await asyncio.to_thread(server.start)

        async def put_back() -> None:
            server.kill()
            server.put_back(tmp_path / "copy")
            await asyncio.to_thread(server.start)

        return put_back

    play(lambda: go_back(url, copy))


def test_older_rows_under_open_connections_begin_a_new_life(url: str) -> None:
    """A dump may be restored while nodes are connected: no connection breaks (113)."""

    async def copy() -> PutBack:
        (before,) = await execute(url, "SELECT last_notice FROM itemwire.store")

        async def put_back() -> None:
            await execute(url, 'DELETE FROM itemwire.messages WHERE "offset" > 1')
            await execute(url, "UPDATE itemwire.channels SET last_offset = 1")
            await execute(url, "DELETE FROM itemwire.notices WHERE id > $1", before[0])
            await execute(url, "UPDATE itemwire.store SET last_notice = $1", before[0])
            await execute(url, "SELECT pg_notify('itemwire', '')")

        return put_back

    play(lambda: go_back(url, copy))


async def go_back(url: str, copy: Callable[[], Awaitable[PutBack]]) -> None:
    """Let a store go back, and see that no offset and no notice is taken for another one."""
    async with node(url) as one, node(url) as other:
        before = await one.publish_at_last("kept")
        await one.post(b"kept")
        put_back = await copy()
        await one.publish_at_last("lost")
        for each in (one, other):
            await each.until(lambda each=each: each.engine.is_available and len(each.texts) == 2)  # type: ignore[misc] # a default is how a loop's lambda keeps its value
        await other.post(b"lost")
        await one.until(lambda: one.noticed[-1:] == [b"lost"])
        (life,) = await execute(url, LIFE)
        await put_back()
        async with asyncio.timeout(WAIT_SECONDS):
            while await execute(url, LIFE) == [life]:  # noqa: ASYNC110 - it is the server that knows
                await asyncio.sleep(0.02)
        await one.until(lambda: one.engine.is_available)
        await one.post(b"after")  # under the number that the lost one had
        after = await one.publish_at_last("after")
        for each in (one, other):
            await each.until(lambda each=each: each.noticed[-1:] == [b"after"])  # type: ignore[misc] # as above
            await each.until(lambda each=each: after in [each.position, *each.losses])  # type: ignore[misc] # as above
            each.check()

        assert after.epoch != before.epoch
        assert [each.data for each in (await other.read()).publications][-1] == "after"


def test_a_store_that_was_only_restarted_goes_on_in_its_life(
    server: PostgresServer, url: str
) -> None:
    """Nothing that was acknowledged is missing (110)."""

    async def scene() -> None:
        async with node(url) as one:
            before = await one.publish("before")
            await one.post(b"before")
            await one.until(lambda: one.noticed == [b"before"])
            server.kill()
            await asyncio.to_thread(server.start)
            after = await one.publish_at_last("after")

            assert (after.epoch, after.offset) == (before.epoch, 2)

    play(scene)


def test_what_the_replica_lacks_is_lost_and_all_are_told(server: PostgresServer, url: str) -> None:
    """It was acknowledged, and its place in a new epoch goes to another message (113)."""

    async def scene(replica: PostgresServer, proxy: Proxy) -> None:
        through = url.replace(str(server.port), str(proxy.port))
        async with node(through) as one, node(through) as other:
            before = await one.publish_at_last("kept")
            await asyncio.to_thread(replica.follow, server)
            await asyncio.to_thread(replica.promote)  # the two have parted
            lost = await one.publish_at_last("lost")
            await other.until(lambda: len(other.texts) == 2)
            server.kill()
            for each in (one, other):
                await each.until(lambda each=each: not each.engine.is_available)  # type: ignore[misc] # as above
            proxy.target = replica.port
            after = await one.publish_at_last("after")
            for each in (one, other):
                await each.until_at(after)
                each.check()
                assert [loss.epoch for loss in each.losses] == [after.epoch]
            history = await other.read()

            assert after.epoch != before.epoch
            assert after.offset == lost.offset
            assert [each.data for each in history.publications] == ["kept", "after"]

    with running_postgres() as replica, Proxy(server.port).running() as proxy:
        replica.kill()
        try:
            play(lambda: scene(replica, proxy))
        finally:
            server.kill()
            server.start()
