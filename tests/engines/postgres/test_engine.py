"""The PostgreSQL engine: its URL, its start, its schema, what it leaves in the database."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from importlib.resources import files

import asyncpg
import pytest

from itemwire.engines import init_store, open_engine
from itemwire.engines.base import Bounds, Engine, EngineError, Sink, Span
from itemwire.engines.postgres import upkeep
from itemwire.engines.postgres.schema import VERSION
from itemwire.messages import Draft, Position
from tests.conformance.asked_engine import OwnBounds
from tests.engines.postgres.database import engine_of, new_database, publish_to
from tests.engines.watched import node, play
from tests.fakes import BOUNDS, CHANNEL
from tests.postgres_server import PostgresServer, execute, running_postgres
from tests.server_process import free_port
from tests.timing import BUSY_SECONDS

SECRET = "hunter2"  # of no server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Run a server for the tests of this file, one after the other."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    """Make a database of this test alone."""
    return new_database(server)


def refusal_of(engine: Engine) -> str:
    """Start an engine in vain, and give the reason."""

    async def start() -> None:
        try:
            await engine.start(Sink())
        finally:
            await engine.stop()

    with pytest.raises(EngineError) as refused:
        asyncio.run(start())
    return str(refused.value)


def offset_of(answer: Position | BaseException) -> int:
    """Give the offset of what was stored."""
    assert isinstance(answer, Position), answer
    return answer.offset


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_server_that_is_not_there_is_one_clear_line(scheme: str) -> None:
    """Where, and why; never the password (117)."""
    problem = refusal_of(open_engine(f"{scheme}://me:{SECRET}@127.0.0.1:{free_port()}", BOUNDS))

    assert problem.startswith(f"cannot use {scheme}://***@127.0.0.1:")
    assert "Connect call failed" in problem
    assert "\n" not in problem
    assert SECRET not in problem


def test_a_database_that_is_not_there_is_one_clear_line(server: PostgresServer) -> None:
    """What the server says is passed on."""
    problem = refusal_of(open_engine(f"{server.url}_other", BOUNDS))

    assert problem.endswith('/postgres_other: database "postgres_other" does not exist')


def test_a_server_that_says_nothing_is_not_waited_for(server: PostgresServer) -> None:
    """Start-up ends with a reason, soon."""
    engine = open_engine(server.url, BOUNDS)
    begun = time.monotonic()
    with server.paused():
        problem = refusal_of(engine)

    assert "no answer in time" in problem
    assert time.monotonic() - begun < 6 + BUSY_SECONDS


@pytest.mark.parametrize(
    "rest",
    [
        f":{SECRET}@host:port",
        f":{SECRET}@[::1",
        f"u:{SECRET}/x@host",
        f"u:a@{SECRET}@host:x",
        f":{SECRET}@host:65536/d",
    ],
)
def test_refuses_a_url_that_is_none_without_showing_it(rest: str) -> None:
    """An error of the parser would quote a part of the password."""
    with pytest.raises(ValueError, match="ITEMWIRE_ENGINE_URL is not a URL") as refused:
        open_engine(f"postgresql://{rest}", BOUNDS)

    assert SECRET not in str(refused.value)


def test_refuses_an_option_that_is_none_without_showing_the_url() -> None:
    """Found by the client when it connects."""
    problem = refusal_of(open_engine(f"postgresql://u:{SECRET}@h/d?sslmode=maybe", BOUNDS))

    assert problem.startswith("cannot use postgresql://***@h/d: ")
    assert SECRET not in problem


def test_refuses_a_database_without_a_schema_until_it_is_made(server: PostgresServer) -> None:
    """Serving makes no tables: the server may not have the right to."""
    url = new_database(server, is_prepared=False)
    before = refusal_of(open_engine(url, BOUNDS))
    init_store(url)

    async def scene() -> None:
        async with node(url) as one:
            assert (await one.publish("hello")).offset == 1

    assert "run `itemwire engine init`" in before
    assert "\n" not in before
    play(scene)


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        pytest.param(VERSION - 1, "run `itemwire engine init`", id="older"),
        pytest.param(VERSION + 1, "install the release that made it", id="newer"),
    ],
)
def test_refuses_a_schema_of_another_release(url: str, version: int, advice: str) -> None:
    """An older release must not write into what it does not know."""
    asyncio.run(execute(url, "UPDATE itemwire.store SET version = $1", version))

    assert advice in refusal_of(open_engine(url, BOUNDS))


def test_leaves_a_newer_schema_as_it_is(url: str) -> None:
    """An init of the release before would be a downgrade in silence."""
    asyncio.run(execute(url, "UPDATE itemwire.store SET version = $1", VERSION + 1))

    with pytest.raises(EngineError, match="install the release that made it"):
        init_store(url)


def test_makes_the_schema_once_however_many_ask(server: PostgresServer) -> None:
    """Two deployments that start at once do not meet half-way; what is stored stays."""
    url = new_database(server, is_prepared=False)

    async def both() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(init_store, url) for _ in range(2)))

    said = asyncio.run(both())

    assert sorted(said) == sorted(
        [
            f"The schema has version {VERSION} already.",
            f"The schema has version {VERSION} now; it had none.",
        ]
    )


def test_brings_an_older_schema_up_to_date(server: PostgresServer) -> None:
    """What is stored stays, and serves on."""
    url = new_database(server, is_prepared=False)
    first = files("itemwire.engines.postgres").joinpath("schema_1.sql").read_text("utf-8")

    async def make_first() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(first)
        await connection.execute("UPDATE itemwire.store SET version = 1")
        await connection.execute("SELECT itemwire_publish('42', '\"kept\"')")
        await connection.close()

    async def scene() -> None:
        async with node(url) as one:
            assert [each.data for each in (await one.read()).publications] == ["kept"]

    asyncio.run(make_first())

    assert init_store(url) == f"The schema has version {VERSION} now; it had 1."
    play(scene)


def test_counts_on_after_a_second_init(url: str) -> None:
    """It is safe to run it with every deployment."""

    async def publish() -> str:
        async with node(url) as one:
            return str(await one.publish("hello"))

    first = asyncio.run(publish())
    init_store(url)
    second = asyncio.run(publish())

    assert second == first.removesuffix("1") + "2"


def test_says_which_rights_are_missing(url: str) -> None:
    """Else the node would be ready, and refuse each publish."""
    for statement in (
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        "GRANT USAGE ON SCHEMA itemwire TO reader",
        "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA itemwire TO reader",
    ):
        asyncio.run(execute(url, statement))
    problem = refusal_of(open_engine(url.replace("postgres@", "reader@"), BOUNDS))
    asyncio.run(execute(url, "DROP OWNED BY reader"))

    assert "the user reader has no right to DELETE, UPDATE in the schema: run `GRANT" in problem


def test_needs_no_more_rights_than_those_that_are_documented(url: str) -> None:
    """Who serves owns nothing: it cannot drop what it uses."""

    async def scene() -> None:
        await execute(url, "DROP ROLE IF EXISTS server")
        await execute(url, "CREATE ROLE server LOGIN")
        await execute(url, "GRANT USAGE ON SCHEMA itemwire TO server")
        tables = "ALL TABLES IN SCHEMA itemwire"
        await execute(url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO server")
        async with node(url.replace("postgres@", "server@")) as one:
            await one.publish("hello", key="k")
            await one.put("k", b"v")
            assert await one.take("k") == b"v"
            await one.post(b"notice")
            await one.until(lambda: one.noticed == [b"notice"])
            tidy = "SELECT itemwire.tidy(0, 0, 0, 0, 0, 0, 10)"
            await execute(url.replace("postgres@", "server@"), tidy)
        await execute(url, "DROP OWNED BY server")

    play(scene)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param("poison", "\0", id="a-zero-in-a-key"),
        pytest.param("poison", "\ud800", id="half-a-character-in-a-key"),
        pytest.param("\ud800", None, id="half-a-character"),
    ],
)
def test_a_message_that_cannot_be_stored_takes_no_other_with_it(
    url: str, text: str, key: str | None
) -> None:
    """All of a tick are one statement: a poisonous one must not refuse the rest (79, 102)."""

    async def scene() -> None:
        async with node(url) as one:
            *stored, refused, last = await asyncio.gather(
                *(one.publish(f"{number}", key=f"{number}") for number in range(10)),
                one.publish(text, key=key),
                one.publish("\0 is a character", key="'; DROP SCHEMA itemwire; --"),
                return_exceptions=True,
            )
            assert isinstance(refused, EngineError)
            assert [offset_of(each) for each in [*stored, last]] == list(range(1, 12))
            assert (await one.read()).publications[-1].data == "\0 is a character"

    play(scene)


def test_what_the_server_refuses_of_one_channel_is_refused_of_that_one_only(url: str) -> None:
    """All of a tick are one statement, and a name may be too long for an index (102)."""

    async def scene() -> None:
        async with node(url) as one:
            refused, *stored = await asyncio.gather(
                publish_to(one, "item:" + secrets.token_hex(5000), "too long"),
                *(publish_to(one, f"item:{number}", "stored") for number in range(10)),
                return_exceptions=True,
            )
            assert isinstance(refused, EngineError)
            assert [offset_of(each) for each in stored] == [1] * 10

    play(scene)


def test_a_fault_of_who_asked_keeps_nobody_else_waiting(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its traceback, and the engine goes on."""

    def fail(_result: object) -> None:
        raise ZeroDivisionError

    async def scene() -> None:
        async with node(url) as one:
            one.engine.publish("item:other", Draft("43", "alice", 1.5, "hello"), fail)
            one.engine.read("item:other", Span(9), fail)
            one.engine.take("k", fail)
            assert (await one.publish("hello")).offset == 1
            assert (await one.read()).position.offset == 1
            assert await one.take("k") is None
            assert one.engine.is_available

    play(scene)

    assert caplog.text.count("answer_failed") == 3


def test_forgets_what_is_out_of_bounds(url: str) -> None:
    """On disk too, a few seconds later: reads have it at once."""
    bounds = Bounds(messages=3, bytes=1000, seconds=300)

    async def scene() -> None:
        async with node(url, bounds) as one:
            for number in range(10):
                await one.publish(str(number), key=str(number))
            await one.put("k", b"v", seconds=0.001)
            await one.post(b"n")
            await execute(
                url, "UPDATE itemwire.messages SET stored_at = stored_at - '11 s'::interval"
            )
            await execute(url, "UPDATE itemwire.keys SET stored_at = stored_at - '301 s'::interval")
            more = await execute(url, "SELECT itemwire.tidy(3, 1000, 300, 10, 300, NULL, 5)")
            assert more[0][0] is True
            await engine_of(one)._upkeep.tidy(with_channels=False)
            left = [
                (await execute(url, f"SELECT count(*) FROM itemwire.{table}"))[0][0]  # noqa: S608 - names of this list
                for table in ("messages", "keys", "kept_values", "notices", "channels")
            ]
            assert left == [3, 0, 0, 1, 1]

    play(scene)


def test_forgets_what_is_out_of_the_bounds_of_one_channel(url: str) -> None:
    """A channel whose bounds are narrower than those of others is trimmed by its own."""

    async def scene() -> None:
        async with node(url, OwnBounds()) as one:
            for number in range(10):
                await publish_to(one, "item:42:few", str(number))
                await publish_to(one, "item:42:other", str(number))
            upkeep_of_one = engine_of(one)._upkeep
            await upkeep_of_one.trim()
            await execute(
                url, "UPDATE itemwire.messages SET stored_at = stored_at - '11 s'::interval"
            )
            await upkeep_of_one.trim()
            left = await execute(
                url,
                "SELECT c.name, count(*) FROM itemwire.channels c "
                "JOIN itemwire.messages m ON m.channel = c.id GROUP BY c.name ORDER BY c.name",
            )
            assert [tuple(row) for row in left] == [("item:42:few", 3), ("item:42:other", 10)]

    play(scene)


def test_tidying_that_takes_too_long_costs_no_connection(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given up and logged; a node that lost a connection over it would turn red each time."""
    monkeypatch.setattr(upkeep, "TOUCH", "SELECT pg_sleep(60), $1::text[]")

    async def scene() -> None:
        async with node(url) as one:
            pid = engine_of(one)._other.pid
            await engine_of(one)._upkeep.touch()
            await one.put("k", b"v")
            assert engine_of(one)._other.pid == pid

    play(scene)

    assert "engine_upkeep_failed problem=canceling statement" in caplog.text


def test_forgets_channels_that_are_idle_but_none_that_is_heard(url: str) -> None:
    """Anyone who may name items must not fill the database with their names (101)."""

    async def scene() -> None:
        async with node(url) as one:
            before = await one.publish("hello")
            await publish_to(one, "item:unheard", "hello")
            aged = "UPDATE itemwire.channels SET used_at = used_at - '500 s'::interval"
            await execute(url, aged)
            await engine_of(one)._upkeep.touch()
            await engine_of(one)._upkeep.tidy(with_channels=True)
            names = await execute(url, "SELECT name FROM itemwire.channels")
            assert [row[0] for row in names] == [CHANNEL]
            after = await one.publish("again")
            assert (after.epoch, after.offset) == (before.epoch, 2)

    play(scene)
