"""What the NATS engine reads: histories within their bounds, however they are stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from itemwire.engines.base import Answer, Bounds, EngineError, History, Span
from itemwire.engines.nats import engine as nats_engine
from itemwire.messages import Position
from tests.engines.nats.scenes import engine_of, on, records
from tests.engines.watched import Watched, node
from tests.fakes import CHANNEL
from tests.nats_server import NatsServer, running_nats
from tests.server_process import free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Run a server for the tests of this file."""
    with running_nats(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def url(server: NatsServer, request: pytest.FixtureRequest) -> str:
    """Give the URL of a world of this test alone."""
    return f"{server.url}/{request.node.name[-32:].translate({91: '_', 93: '_'})}"


def test_history_is_bounded_by_bytes(url: str) -> None:
    """Bytes of payload, as they were published; the oldest go first."""

    async def scene(watched: Watched) -> None:
        for size in (40, 40, 40, 90, 200):
            await watched.publish(str(size).ljust(size))
            history = await watched.read()
            kept.append([one.offset for one in history.publications])
            assert history.position.offset == len(kept)

    kept: list[list[int]] = []
    on(url, scene, Bounds(messages=100, bytes=100, seconds=60))

    assert kept == [[1], [1, 2], [2, 3], [4], []]


def test_history_is_bounded_within_a_record_too(url: str) -> None:
    """What was published at once is stored at once, and counted one by one."""

    async def scene(watched: Watched) -> None:
        await asyncio.gather(*(watched.publish(str(number)) for number in range(30)))
        assert await records(watched) < 5
        history = await watched.read()
        assert [one.offset for one in history.publications] == list(range(26, 31))
        watched.check()

    on(url, scene, Bounds(messages=5, bytes=1000, seconds=60))


def test_history_is_bounded_by_age(url: str) -> None:
    """What is too old is not read, though the count goes on; and not said to be complete."""

    async def scene(watched: Watched) -> None:
        await watched.publish("old")
        await asyncio.sleep(2.2)  # time passing is what this is about
        position = await watched.publish("new")
        history = await watched.read()

        assert [one.data for one in history.publications] == ["new"]
        assert (history.position, history.complete) == (Position(position.epoch, 2), False)
        assert (await watched.read(Span(9, after=1))).complete

    on(url, scene, Bounds(messages=100, bytes=1000, seconds=2.0))


def test_delivers_what_it_does_not_keep(url: str) -> None:
    """Without history there is still an order."""

    async def scene(watched: Watched) -> None:
        for number in range(5):
            await watched.publish(str(number))
        await watched.until(lambda: len(watched.log) == 5)
        watched.check()

        assert (await watched.read()).publications == []

    on(url, scene, Bounds(messages=0, bytes=0, seconds=0))


def test_reads_a_history_that_one_answer_has_no_room_for(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for again, from where the answer ended."""

    async def scene(watched: Watched) -> None:
        for number in range(10):
            await watched.publish(str(number))
        monkeypatch.setattr(engine_of(watched)._streams, "record_limit", 3)
        history = await watched.read()

        assert [one.data for one in history.publications] == [str(number) for number in range(10)]
        assert history.complete

    on(url, scene, Bounds(messages=100, bytes=1000, seconds=60))


def test_reads_once_for_all_who_ask_meanwhile(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand who come back to one item at once cost the server a few reads."""

    async def scene(watched: Watched) -> None:
        await watched.publish("hello")
        reading, reads = engine_of(watched)._history_reader, 0
        read_all = reading._read_all

        def counted(*arguments: Any) -> None:  # noqa: ANN401 - they are passed on
            nonlocal reads
            reads += 1
            read_all(*arguments)

        monkeypatch.setattr(reading, "_read_all", counted)
        histories = await asyncio.gather(*(watched.read(Span(9, after=0)) for _ in range(200)))

        assert {len(history.publications) for history in histories} == {1}
        assert reads < 5

    on(url, scene)


def test_answers_when_a_message_cannot_be_read(url: str) -> None:
    """With an error, and not with silence."""

    async def scene(watched: Watched) -> None:
        engine = engine_of(watched)
        at = await watched.publish("hello")
        record = [at.epoch, 2, 5, 3, "another", [b"bad"], {}]
        data = msgspec.msgpack.encode(record)
        await engine._connection.request(engine._names.channel(CHANNEL), data)
        with pytest.raises(EngineError, match="message 2"):
            await watched.read()

    on(url, scene)


def test_asks_again_where_a_replica_answers_that_is_behind(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone who joins would miss what was delivered here before, and would not be told."""

    async def scene(watched: Watched) -> None:
        reading = engine_of(watched)._history_reader
        at = [await watched.publish(text) for text in ("a", "b", "c")]
        ask, answers = reading.ask, [History(at[1], [], complete=True)]

        def behind(
            channel: str, span: Span, answer: Answer[History], *, is_live: bool = False
        ) -> None:
            if answers:
                answer(answers.pop())
            else:
                ask(channel, span, answer, is_live=is_live)

        monkeypatch.setattr(reading, "ask", behind)
        history = await watched.read(Span(9, after=2))

        assert (history.position, [one.data for one in history.publications]) == (at[2], ["c"])

    on(url, scene)


def test_hears_all_on_a_server_of_several(
    server: NatsServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is away is passed over; what is heard is compared again once all servers know it."""
    monkeypatch.setattr(nats_engine, "ROUTE_SECONDS", 0.05)
    several = url.replace(
        f"127.0.0.1:{server.port}", f"127.0.0.1:{free_port()},localhost:{server.port}"
    )

    async def scene(watched: Watched) -> None:
        engine = engine_of(watched)
        async with node(url) as other:
            watched.engine.unsubscribe(CHANNEL)
            await watched.subscribe()
            engine._connection.unsubscribe(engine._names.live_of(CHANNEL))  # no route yet
            await other.publish("between two servers")
            await watched.until(lambda: watched.texts == ["between two servers"])

    on(several, scene)
