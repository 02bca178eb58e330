"""The Redis engine: what it stores on the server, for how long, and its answers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from redis.asyncio.connection import Connection

from itemwire.engines import open_engine
from itemwire.engines.base import Answer, Bounds, EngineError, Sink, Span
from itemwire.engines.redis import client, scripts
from itemwire.engines.redis import engine as redis_engine
from itemwire.messages import Position
from tests.conformance.asked_engine import answer_of
from tests.engines.watched import Watched
from tests.fakes import BOUNDS, CHANNEL
from tests.redis_server import RedisServer, running_redis
from tests.timing import BUSY_SECONDS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a server for the tests of this file, one after the other."""
    with running_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(server: RedisServer) -> None:
    server.ask("FLUSHALL")


def on(url: str, scene: Callable[[Watched], Awaitable[None]], bounds: Bounds = BOUNDS) -> None:
    """Play a scene on a started engine."""

    async def play() -> None:
        async with Watched(open_engine(url, bounds)).running() as watched:
            await scene(watched)

    asyncio.run(play())


def test_is_available_from_start_to_stop(server: RedisServer) -> None:
    """And what is asked before or after is answered with an error, not with silence."""
    engine = open_engine(server.url, BOUNDS)

    async def scene() -> list[bool]:
        seen = [engine.is_available]
        await engine.start(Sink())
        seen.append(engine.is_available)
        await engine.stop()
        seen.append(engine.is_available)
        return seen

    async def ask() -> None:
        await Watched(engine).publish("x")

    with pytest.raises(EngineError, match="not started"):
        asyncio.run(ask())
    assert asyncio.run(scene()) == [False, True, False]
    with pytest.raises(EngineError, match="not started"):
        asyncio.run(ask())


def test_everything_it_stores_ends_by_itself(server: RedisServer) -> None:
    """Anyone who may name items must not be able to fill the server with their names."""

    async def scene(watched: Watched) -> None:
        await watched.publish("hello", key="k")
        await watched.put("v", b"v", 30)
        await watched.read(channel="item:read")

    on(server.url, scene, Bounds(messages=10, bytes=1000, seconds=60))
    names = [word for word in server.ask("KEYS", "*").split() if word.startswith(b"itemwire")]
    ends = {name.decode(): int(server.ask("TTL", name.decode()).strip()[1:]) for name in names}
    kept = {name.replace(CHANNEL, "C"): seconds for name, seconds in ends.items()}

    # A little is kept for ever: what the notices are counted by, and which life it is.
    assert kept.pop("itemwire:0:life") == -1
    assert kept.pop("itemwire:0:{notices}:meta") == -1
    assert kept.pop("itemwire:0:{C}:s") in range(50, 61)
    assert kept.pop("itemwire:0:value:v") in range(20, 31)
    assert sorted(kept) == ["itemwire:0:{C}:m", "itemwire:0:{C}:s:k", "itemwire:0:{item:read}:m"]
    assert set(kept.values()) <= set(range(290, 301))


def test_history_is_bounded_by_bytes(server: RedisServer) -> None:
    """Bytes of payload, as they were published; the oldest go first."""

    async def scene(watched: Watched) -> None:
        for size in (40, 40, 40, 90, 200):
            await watched.publish(str(size).ljust(size))
            stored.append(server.ask("XLEN", "itemwire:0:{item:42}:s").strip())
            history = await watched.read()
            kept.append([one.offset for one in history.publications])
            assert history.position.offset == len(kept)

    kept: list[list[int]] = []
    stored: list[bytes] = []
    on(server.url, scene, Bounds(messages=100, bytes=100, seconds=60))

    assert kept == [[1], [1, 2], [2, 3], [4], []]
    assert stored == [b":%d" % len(offsets) for offsets in kept]


def test_history_is_bounded_by_age(server: RedisServer) -> None:
    """What is too old is not read, though the count goes on; and not said to be complete."""

    async def scene(watched: Watched) -> None:
        await watched.publish("old")
        await asyncio.sleep(2.2)  # time passing is what this is about
        position = await watched.publish("new")
        history = await watched.read()

        assert [one.data for one in history.publications] == ["new"]
        assert (history.position, history.complete) == (Position(position.epoch, 2), False)
        assert (await watched.read(Span(9, after=1))).complete

    on(server.url, scene, Bounds(messages=100, bytes=1000, seconds=2.0))


def test_delivers_what_it_does_not_keep(server: RedisServer) -> None:
    """Without history there is still an order."""

    async def scene(watched: Watched) -> None:
        for number in range(5):
            await watched.publish(str(number))
        await watched.until(lambda: len(watched.log) == 5)
        watched.check()

        assert (await watched.read()).publications == []

    on(server.url, scene, Bounds(messages=0, bytes=0, seconds=0))


def test_databases_of_one_server_are_apart(server: RedisServer) -> None:
    """Redis' pub/sub knows no databases: what is published in one is heard in all."""

    async def scene(watched: Watched) -> None:
        await watched.publish("in the first")

        async def other(second: Watched) -> None:
            assert (await second.publish("in the second")).offset == 1
            await watched.publish("in the first again")
            await second.publish("in the second again")
            assert second.texts == ["in the second", "in the second again"]

        async with Watched(open_engine(server.url[:-1] + "1", BOUNDS)).running() as second:
            await other(second)
        assert watched.texts == ["in the first", "in the first again"]

    on(server.url, scene)


def test_takes_no_message_that_somebody_else_publishes(server: RedisServer) -> None:
    """What cannot be read is logged and left out; what comes next is delivered."""

    async def scene(watched: Watched) -> None:
        engine = watched.engine
        assert isinstance(engine, redis_engine.RedisEngine)
        for message in ("nonsense", "1-x-y"):
            server.ask("PUBLISH", engine._keys(CHANNEL).live, message)
        async with Watched(open_engine(server.url, BOUNDS)).running() as other:
            await other.publish("hello")
        await watched.until(lambda: watched.texts == ["hello"])

    on(server.url, scene)


def test_answers_everybody_though_one_who_asked_throws(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """His fault is logged; the others' answers, and their messages, come."""

    async def scene(watched: Watched) -> None:
        def throw(_result: object) -> None:
            raise ZeroDivisionError("a fault of theirs")

        watched.engine.read(CHANNEL, Span(1), throw)
        assert (await watched.publish("hello")).offset == 1
        watched.engine.read(CHANNEL, Span(1), throw)
        await watched.engine.stop()

    on(server.url, scene)

    assert caplog.text.count("ZeroDivisionError: a fault of theirs") == 2


def test_answers_when_the_history_cannot_be_read(server: RedisServer) -> None:
    """With an error, and not with silence."""

    async def scene(watched: Watched) -> None:
        engine = watched.engine
        assert isinstance(engine, redis_engine.RedisEngine)
        await watched.publish("hello")
        server.ask("XADD", engine._keys(CHANNEL).stream, "2-0", "b", 0, "t", "9e15", "m", "bad")
        with pytest.raises(EngineError, match="message 2"):
            await watched.read()

    on(server.url, scene)


def test_no_more_notices_are_kept_than_there_is_room_for(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropping one in silence would let a revoked token in after a restart."""
    monkeypatch.setattr(
        "itemwire.engines.redis.notices.POST",
        scripts.LuaScript.of(scripts.POST.source.replace(str(scripts.MAX_NOTICES), "2")),
    )

    async def scene(watched: Watched) -> None:
        await watched.post(b"a")
        await watched.post(b"b")
        with pytest.raises(EngineError, match="no room"):
            await watched.post(b"c")

    on(server.url, scene)


def test_forgets_the_notices_that_have_ended(server: RedisServer) -> None:
    """They take no room from those that are still to be applied."""

    async def scene(watched: Watched) -> None:
        server.ask("ZADD", "itemwire:0:{notices}:kept", 5, "old")
        await watched.post(b"new")
        await watched.until(lambda: watched.noticed == [b"new"])

        assert server.ask("ZCARD", "itemwire:0:{notices}:kept").strip() == b":1"

    on(server.url, scene)


def test_a_look_for_notices_that_finds_nothing_new_reads_none_of_those_kept(
    server: RedisServer,
) -> None:
    """Every node looks each 10 s: with 100,000 revocations that took 54 ms of the server."""

    def reads() -> int:
        stats = server.ask("INFO", "commandstats")
        found = re.search(rb"cmdstat_zrangebyscore:calls=(\d+)", stats)
        return int(found[1]) if found else 0

    async def scene(watched: Watched) -> None:
        engine = watched.engine
        assert isinstance(engine, redis_engine.RedisEngine)
        await watched.post(b"a")
        await watched.until(lambda: watched.noticed == [b"a"])
        before = reads()
        await answer_of(engine._notices.try_reading)
        assert reads() == before
        engine._notices._number = 0  # as if it had been missed
        await answer_of(engine._notices.try_reading)
        assert reads() == before + 1

    on(server.url, scene)


def test_keeps_no_notice_that_is_for_nobody_who_misses_it(server: RedisServer) -> None:
    """Members are told of many times a second, and not dead because the server is full."""

    async def scene(watched: Watched) -> None:
        def post(answer: Answer[None]) -> None:
            watched.engine.post(b"passing", 0, answer)

        await watched.post(b"kept")
        server.ask("CONFIG", "SET", "maxmemory", "1")
        await answer_of(post)
        await watched.until(lambda: watched.noticed == [b"kept", b"passing"])
        with pytest.raises(EngineError, match="memory"):
            await watched.post(b"lost")

        assert server.ask("ZCARD", "itemwire:0:{notices}:kept").strip() == b":1"

    try:
        on(server.url, scene)
    finally:
        server.ask("CONFIG", "SET", "maxmemory", "0")


def test_begins_anew_with_nothing_of_an_older_life(server: RedisServer) -> None:
    """Offsets are given again then: what had them before must not be read under the new epoch."""
    engine = open_engine(server.url, BOUNDS)
    assert isinstance(engine, redis_engine.RedisEngine)

    async def scene() -> None:
        unheard = Watched(engine)
        await engine.start(Sink())
        for number in range(3):
            await unheard.publish(str(number))
        before = (await unheard.read()).position
        server.ask("HSET", engine._keys(CHANNEL).meta, "life", "another")
        after = await unheard.publish("new")
        history = await unheard.read()
        await engine.stop()

        assert (before.offset, after.offset) == (3, 1)
        assert after.epoch != before.epoch
        assert [one.data for one in history.publications] == ["new"]
        assert history.position == after

    asyncio.run(scene())


def test_gives_every_notice_again_in_a_new_life_of_the_server(server: RedisServer) -> None:
    """Their numbers may have been given twice, so nothing is sure but to hand on all."""

    async def scene(watched: Watched) -> None:
        await watched.post(b"a")
        server.ask("HSET", "itemwire:0:{notices}:meta", "life", "another")
        await watched.post(b"b")
        await watched.until(lambda: watched.noticed == [b"a", b"a", b"b"])

    on(server.url, scene)


def test_a_channel_may_be_left_and_joined_in_one_tick(server: RedisServer) -> None:
    """The confirmation of the first is not that of the second: nothing is missed all the same."""

    async def scene(watched: Watched) -> None:
        async with Watched(open_engine(server.url, BOUNDS)).running() as other:
            for number in range(30):
                watched.engine.unsubscribe(CHANNEL)
                joined = asyncio.create_task(watched.subscribe())
                await asyncio.sleep(0)
                watched.engine.unsubscribe(CHANNEL)
                with pytest.raises(EngineError, match="left"):
                    await joined
                await watched.subscribe()
                await other.publish(str(number))
                await watched.until(lambda: watched.texts == other.texts)

    on(server.url, scene)


def test_does_not_wait_for_a_subscription_for_ever(server: RedisServer) -> None:
    """A join is answered in time, either way."""

    async def scene(watched: Watched) -> None:
        with server.paused():
            begun = time.monotonic()
            with pytest.raises(EngineError):
                await watched.subscribe("item:x")
            assert time.monotonic() - begun < 2.2 + BUSY_SECONDS
        await watched.until(lambda: watched.engine.is_available)
        await watched.subscribe("item:x")

    on(server.url, scene)


@pytest.mark.parametrize(
    "command",
    [("PING",), ("SET", "name", b"\x00\xff\r\n", "PX", 10), ("EVAL", "é€", -1, 1732312312.125, "")],
    ids=lambda command: command[0],
)
def test_writes_commands_as_the_client_library_does(command: client.Command) -> None:
    """Its own way is six times slower, and was a third of what a publish costs a node."""
    theirs = Connection().pack_command(*command)

    assert client.pack_commands([command, command]) == b"".join(theirs) * 2


def test_a_server_that_was_emptied_has_another_secret(server: RedisServer) -> None:
    """So whatever was signed with the old one is no longer valid (requirement 130)."""

    async def scene(watched: Watched) -> None:
        before = await answer_of(watched.engine.secret)
        assert await answer_of(watched.engine.secret) == before
        server.ask("FLUSHALL")

        assert await answer_of(watched.engine.secret) != before

    on(server.url, scene)
