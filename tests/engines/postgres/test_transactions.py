"""Publishing from inside the application's own SQL transactions."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator

import asyncpg
import msgspec
import pytest

from itemwire.engines.base import EngineError
from tests.engines.postgres.database import new_database, publish_to
from tests.engines.watched import node, play
from tests.fakes import CHANNEL
from tests.postgres_server import PostgresServer, execute, running_postgres

FREE = 1.5  # seconds: what has to wait for a transaction is refused after two

ITEM = CHANNEL.removeprefix("item:")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Run a server for the tests of this file, one after the other."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    """Make a database of this test alone."""
    return new_database(server)


@contextlib.asynccontextmanager
async def application(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect as an application does."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def sql_publish(connection: asyncpg.Connection, payload: object, item: str = ITEM) -> str:
    """Publish by SQL."""
    position: str = await connection.fetchval(
        "SELECT itemwire_publish($1, $2::jsonb)", item, json.dumps(payload)
    )
    return position


def test_delivers_on_commit_and_not_before(url: str) -> None:
    """What subscribers see and what the tables say is one thing."""

    async def scene() -> None:
        async with node(url) as one, node(url) as other, application(url) as connection:
            async with connection.transaction():
                await connection.execute("CREATE TABLE orders (id int)")
                written = await sql_publish(connection, {"order": 1})
                await sql_publish(connection, "a text")
                assert (await publish_to(one, "item:else", "a round trip")).offset == 1
                assert one.log == other.log == []
            for each in (one, other):
                await each.until(lambda each=each: len(each.log) == 2)  # type: ignore[misc] # a default is how a loop's lambda keeps its value
            assert one.log == other.log
            assert one.texts == [msgspec.Raw(b'{"order": 1}'), "a text"]
            first = (await one.read()).publications[0]
            assert (first.item, first.sender, first.offset) == (ITEM, "postgres", 1)
            assert written == f"{(await one.read()).position.epoch}:1"

    play(scene)


def test_a_rollback_leaves_neither_a_message_nor_a_hole(url: str) -> None:
    """The next one has the offset that the message would have had."""

    async def scene() -> None:
        async with node(url) as one, application(url) as connection:
            transaction = connection.transaction()
            await transaction.start()
            await sql_publish(connection, "never")
            await transaction.rollback()
            position = await one.publish("after")
            await one.until(lambda: bool(one.log))

            assert position.offset == 1
            assert one.texts == ["after"]

    play(scene)


def test_takes_a_sender_and_a_key(url: str) -> None:
    """A job that runs twice publishes once, as anybody's retry does (111)."""
    query = "SELECT itemwire_publish($1, '1', sender => 'billing', key => 'invoice-7')"

    async def scene() -> None:
        async with node(url) as one:
            said = [(await execute(url, query, ITEM))[0][0] for _ in range(2)]
            await one.until(lambda: bool(one.log))
            (stored,) = (await one.read()).publications

            assert said[0] == said[1]
            assert (stored.sender, stored.data) == ("billing", msgspec.Raw(b"1"))

    play(scene)


@pytest.mark.parametrize("item", ["", "a b", "a/b", "..", "x" * 129, "ü"])
def test_refuses_what_is_no_item(url: str, item: str) -> None:
    """Nobody could ever hear it."""

    async def scene() -> None:
        async with application(url) as connection:
            with pytest.raises(asyncpg.InvalidParameterValueError, match="not the name of an item"):
                await sql_publish(connection, 1, item)
            assert (await sql_publish(connection, 1, "x" * 128)).endswith(":1")

    play(scene)


def test_only_those_who_are_granted_it_may_publish(url: str) -> None:
    """A role of another application must not speak in this one's name; the twin needs no more."""

    async def scene() -> None:
        await execute(url, "DROP ROLE IF EXISTS app")
        await execute(url, "CREATE ROLE app LOGIN")
        async with application(url.replace("postgres@", "app@")) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await sql_publish(connection, 1)
            await execute(url, "GRANT EXECUTE ON FUNCTION itemwire_publish TO app")
            assert (await sql_publish(connection, 1)).endswith(":1")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("SELECT FROM itemwire.messages")

    play(scene)


@pytest.mark.parametrize("is_new", [True, False], ids=["a-new-item", "an-item-that-is-there"])
def test_an_open_transaction_holds_up_its_own_item_only(url: str, is_new: bool) -> None:
    """Others are published, joined and read as ever; this one is refused in time (102)."""

    async def scene() -> None:
        async with node(url) as one, application(url) as connection:
            held = "item:held"
            if not is_new:
                await publish_to(one, held, "there")
            async with connection.transaction():
                await sql_publish(connection, "open", "held")
                waiting = asyncio.create_task(publish_to(one, held, "waits"))
                for number in range(50):
                    await asyncio.wait_for(
                        publish_to(one, f"item:beside-{number}", "goes on"), FREE
                    )
                await asyncio.wait_for(one.subscribe("item:new"), FREE)
                await one.publish("heard")
                with pytest.raises(EngineError):
                    await waiting
            await one.until(lambda: one.texts == ["heard"])
            after = await publish_to(one, held, "after")
            stored = [each.data for each in (await one.read(channel=held)).publications]
            assert [each for each in stored if each not in {"there", "waits"}] == ["open", "after"]
            assert after.offset == len(stored)

    play(scene)


def test_who_waits_for_a_transaction_comes_after_it_in_order(url: str) -> None:
    """A short one is no reason to refuse anybody."""

    async def scene() -> None:
        async with node(url) as one, application(url) as connection:
            async with connection.transaction():
                await sql_publish(connection, "first")
                waiting = [asyncio.create_task(one.publish(str(number))) for number in range(5)]
                done, _ = await asyncio.wait(waiting, timeout=0.3)
                assert not done
            await asyncio.gather(*waiting)
            await one.until(lambda: len(one.log) == 6)
            one.check()
            assert one.texts == ["first", "0", "1", "2", "3", "4"]

    play(scene)


def test_nothing_is_visible_that_a_crash_could_take_away(server: PostgresServer, url: str) -> None:
    """With commits that do not wait for the disk, an offset could be given twice."""

    async def scene() -> None:
        async with application(url) as connection:
            await connection.execute("SET synchronous_commit = off")
            async with connection.transaction():
                await sql_publish(connection, 1)
                within = await connection.fetchval("SHOW synchronous_commit")
            assert within == "on"
            assert await connection.fetchval("SHOW synchronous_commit") == "off"

    play(scene)
