"""The NATS engine: what it stores on the server, for how long, and its answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from itemwire.engines import open_engine
from itemwire.engines.base import Bounds, EngineError, Sink, Span
from itemwire.engines.nats import engine as nats_engine
from itemwire.engines.nats import publishing, requests, trimming
from itemwire.engines.nats.jetstream import ack_of, info_of, read_stored
from itemwire.engines.nats.streams import MAX_NOTICES
from tests.engines.nats.scenes import asked, engine_of, on, records
from tests.engines.watched import Watched, node
from tests.fakes import BOUNDS, CHANNEL
from tests.nats_server import NatsServer, running_nats


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Run a server for the tests of this file."""
    with running_nats(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def url(server: NatsServer, request: pytest.FixtureRequest) -> str:
    """Give the URL of a world of this test alone."""
    return f"{server.url}/{request.node.name[-32:].translate({91: '_', 93: '_'})}"


def test_everything_it_stores_ends_by_itself(url: str) -> None:
    """Anyone who may name items must not be able to fill the server with their names."""

    async def scene(watched: Watched) -> None:
        await watched.publish("hello", key="k")
        await watched.publish("again")  # which makes an entry of the key
        await watched.put("v", b"v", 30)
        await watched.post(b"notice", seconds=90)
        names = engine_of(watched)._names
        streams = [names.channels, names.kept, names.notices, names.life]
        infos = [await asked(watched, f"INFO.{stream}") for stream in streams]
        assert infos[0]["config"]["max_age"] == 420 * 10**9
        for stream, subject, seconds in (
            (names.kept, names.key(CHANNEL, "k"), b"300"),
            (names.kept, names.value("v"), b"30"),
            (names.notices, names.notice, b"90"),
        ):
            found = await asked(watched, f"MSG.GET.{stream}", {"last_by_subj": subject})
            headers = msgspec.json.decode(msgspec.json.encode(found["message"]["hdrs"]), type=bytes)
            assert b"Nats-TTL: " + seconds in headers
        assert [info["state"]["messages"] for info in infos] == [3, 2, 1, 1]

    on(url, scene, Bounds(messages=10, bytes=1000, seconds=60))


def test_leaves_what_its_operator_has_set(url: str) -> None:
    """Replicas, limits, placement: a start changes only what it needs; bounds grow only."""

    async def change(watched: Watched) -> None:
        name = engine_of(watched)._names.channels
        config = (await asked(watched, f"INFO.{name}"))["config"]
        config |= {"max_bytes": 10**7, "description": "ours", "allow_direct": False}
        assert "error" not in await asked(watched, f"UPDATE.{name}", config)

    async def look(watched: Watched) -> None:
        name = engine_of(watched)._names.channels
        config = (await asked(watched, f"INFO.{name}"))["config"]
        assert (config["max_bytes"], config["description"]) == (10**7, "ours")
        assert config["allow_direct"]
        assert config["max_msgs_per_subject"] == 208
        assert config["max_age"] == 520 * 10**9

    on(url, change, Bounds(messages=200, bytes=1000, seconds=60))
    on(url, look, Bounds(messages=10, bytes=1000, seconds=400))
    on(url, look, Bounds(messages=10, bytes=1000, seconds=60))


def test_a_channel_that_somebody_hears_does_not_end(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet channel is still a channel: its count must not begin anew under its subscribers."""
    monkeypatch.setattr(nats_engine, "RENEW_SECONDS", 0.01)

    async def scene(watched: Watched) -> None:
        first = await watched.publish("hello")
        streams = engine_of(watched)._streams
        async with node(url) as other:
            with monkeypatch.context() as hurried:
                hurried.setattr(streams, "channel_seconds", 0)  # everything is old at once
                while await records(watched) < 5:
                    pass
            second = await other.publish("again")
            await watched.until(lambda: watched.texts == ["hello", "again"])
            watched.check()
            other.check()

        assert (second.epoch, second.offset) == (first.epoch, 2)
        assert watched.losses == []

    on(url, scene)


def test_renews_a_channel_by_a_record_without_a_message(url: str) -> None:
    """Of many nodes that hear it, the first does; the others find that it is young."""

    async def scene(watched: Watched) -> None:
        async with node(url) as other:
            await watched.publish("hello")
            for each, oldest in ((watched, 1e12), (other, 0.0)):
                done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
                engine_of(each)._publisher.renew(CHANNEL, oldest, done.set_result)
                await done
            assert await records(watched) == 3
            history = await other.read(Span(10))
            assert (history.position.offset, len(history.publications)) == (1, 1)
            await other.publish("again")
            await watched.until(lambda: watched.texts == ["hello", "again"])
            watched.check()

    on(url, scene)


def test_stores_no_more_of_a_channel_than_it_has_to(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JetStream counts messages and seconds; bytes are seen to from here (requirement 118)."""
    monkeypatch.setattr(trimming, "SPARE_BYTES", 1000)
    monkeypatch.setattr(trimming, "LEAST_STEP", 1000)

    async def scene(watched: Watched) -> None:
        for _ in range(60):
            await watched.publish("x" * 500)
        history = await watched.read()
        assert len(history.publications) == 10
        for _ in range(100):  # what is forgotten is forgotten beside the publishing
            count = await records(watched)
            if count < 25:
                break
        assert 10 <= count < 25

    on(url, scene, Bounds(messages=100, bytes=5000, seconds=60))


def test_worlds_of_one_server_are_apart(url: str) -> None:
    """Several applications may have one account."""

    async def scene(watched: Watched) -> None:
        await watched.publish("in the first")
        async with node(f"{url[:-2]}_2") as second:
            assert (await second.publish("in the second")).offset == 1
            await watched.post(b"first")
            await second.post(b"second")
            await second.until(lambda: bool(second.noticed))
            assert second.texts == ["in the second"]
            assert second.noticed == [b"second"]
        assert watched.texts == ["in the first"]

    on(url, scene)


@pytest.mark.parametrize("junk", [b"nonsense", b"\x90", b""], ids=["text", "short", "empty"])
def test_takes_no_message_that_somebody_else_publishes(url: str, junk: bytes) -> None:
    """Live it is left out; as a channel's last record it ends the epoch: there is no position."""

    async def scene(watched: Watched) -> None:
        engine = engine_of(watched)
        await watched.publish("before")
        engine._connection.send(engine._names.live_of(CHANNEL), junk)
        await watched.publish("between")
        await engine._connection.request(engine._names.channel(CHANNEL), junk)
        await watched.until(lambda: watched.texts == ["before", "between"])
        after = await watched.publish("after")
        await watched.until(lambda: after in watched.losses or watched.texts[-1:] == ["after"])
        watched.check()

        assert after.offset == 1
        assert (await watched.read()).position == after

    on(url, scene)


def test_answers_everybody_though_one_who_asked_throws(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """His fault is logged; the others' answers, and their messages, come."""

    async def scene(watched: Watched) -> None:
        def throw(_result: object) -> None:
            raise ZeroDivisionError("a fault of theirs")

        watched.engine.put("k", b"v", 9, throw)
        assert (await watched.publish("hello")).offset == 1
        watched.engine.post(b"x", time.time(), throw)
        assert (await watched.publish("hello again")).offset == 2

    on(url, scene)

    assert caplog.text.count("ZeroDivisionError: a fault of theirs") == 2


def test_goes_on_though_a_subscriber_throws(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """His fault is logged, and the item is not stuck for the others."""

    def throw(_channel: str, _publication: object) -> None:
        raise ZeroDivisionError("a fault of theirs")

    async def scene(watched: Watched) -> None:
        await watched.engine.start(Sink(throw))
        await watched.subscribe()
        positions = [await watched.publish("a"), await watched.publish("b")]
        assert [one.offset for one in positions] == [1, 2]

    on(url, scene)

    assert "ZeroDivisionError: a fault of theirs" in caplog.text


def test_goes_on_after_a_fault_of_its_own(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the connection is made again as after any other."""

    async def scene(watched: Watched) -> None:
        streams = engine_of(watched)._streams
        with monkeypatch.context() as broken:
            broken.setattr(streams, "check_life", lambda _ask: 1 / 0)
            await watched.until(lambda: not watched.engine.is_available)
        await watched.until(lambda: watched.engine.is_available)
        assert (await watched.publish("after")).offset == 1

    on(url, scene)

    assert "ZeroDivisionError" in caplog.text


def test_takes_an_answer_that_cannot_be_read_as_none() -> None:
    """The caller is told, and requests that wait behind it go on."""
    assert isinstance(read_stored(b"nonsense"), EngineError)
    assert ack_of(b"[]").error is not None
    assert info_of(b"").error is not None


def test_refuses_what_is_larger_than_the_server_takes(url: str) -> None:
    """That one message, and no other."""

    async def scene(watched: Watched) -> None:
        with pytest.raises(EngineError, match="max_payload"):
            await watched.publish("x" * 1_048_576)
        assert (await watched.publish("x" * 1_000_000)).offset == 1

    on(url, scene, Bounds(messages=10, bytes=10_000_000, seconds=60))


def test_no_more_notices_are_kept_than_there_is_room_for(url: str) -> None:
    """Dropping one in silence would let a revoked token in after a restart."""

    async def scene(watched: Watched) -> None:
        name = engine_of(watched)._names.notices
        config = (await asked(watched, f"INFO.{name}"))["config"]
        assert config["max_msgs"] == MAX_NOTICES
        await asked(watched, f"UPDATE.{name}", config | {"max_msgs": 2})
        await watched.post(b"a")
        await watched.post(b"b")
        with pytest.raises(EngineError, match="maximum messages"):
            await watched.post(b"c")

    on(url, scene)


def test_hands_on_more_notices_than_one_answer_holds(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, before it has started."""
    monkeypatch.setattr("itemwire.engines.nats.notices.MAX_READ", 3)
    notices = [str(number).encode() for number in range(10)]

    async def post(watched: Watched) -> None:
        for notice in notices:
            await watched.post(notice)

    async def look(watched: Watched) -> None:
        assert watched.noticed == notices

    on(url, post)
    on(url, look)


def test_a_channel_may_be_left_and_joined_in_one_tick(url: str) -> None:
    """The confirmation of the first is not that of the second: nothing is missed all the same."""

    async def scene(watched: Watched) -> None:
        async with Watched(open_engine(url, BOUNDS)).running() as other:
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

    on(url, scene)


@pytest.mark.parametrize("part", [requests.NatsRequests, publishing.NatsPublisher])
def test_looks_for_what_is_late_no_more_often_the_more_was_asked(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    part: Any,  # noqa: ANN401
) -> None:
    """One timer, however often nothing waits in between."""
    monkeypatch.setattr(requests, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(publishing, "LOOK_SECONDS", 0.02)
    looks, look = 0, part._look

    def counted(it: object) -> None:
        nonlocal looks
        looks += 1
        look(it)

    monkeypatch.setattr(part, "_look", counted)

    async def scene(watched: Watched) -> None:
        begun = time.monotonic()
        for number in range(100):
            await watched.publish(str(number))
        await asyncio.sleep(0.03)  # time passing is what this is about
        assert 1 <= looks <= 2 + (time.monotonic() - begun) / 0.02

    on(url, scene)
