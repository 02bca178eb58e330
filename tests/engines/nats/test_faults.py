"""The NATS engine while its server is killed, stopped, cut off, full or put back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from itemwire.engines.base import NO_EPOCH, Bounds, EngineError
from itemwire.engines.faults import SILENT
from itemwire.engines.nats import engine as nats_engine
from itemwire.engines.nats import publishing as nats_publishing
from itemwire.engines.nats import requests
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.jetstream import LAST_SUBJECT
from tests.conformance.network_faults_contract import NetworkFaultsContract
from tests.engines.watched import Watched, node, play
from tests.fakes import CHANNEL
from tests.nats_server import NatsServer, running_nats
from tests.proxy import Proxy


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Run a server for those tests that leave it as it is."""
    with running_nats(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """Run a server of this test alone."""
    with running_nats(tmp_path) as running:
        yield running


@pytest.fixture
def world(lasting: NatsServer, request: pytest.FixtureRequest) -> str:
    """Give the URL of a world of this test alone."""
    return f"{lasting.url}/{request.node.name[-32:]}"


@pytest.fixture(autouse=True)
def _unlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be healed by the look that comes now and then."""
    monkeypatch.setattr(nats_engine, "CHECK_SECONDS", 1000)
    monkeypatch.setattr(nats_engine, "LOOK_SECONDS", 1000)


@contextlib.contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """Put a proxy in front of a server."""
    where, _, world = url.removeprefix("nats://127.0.0.1:").partition("/")
    with Proxy(int(where)).running() as proxy:
        yield proxy, f"nats://127.0.0.1:{proxy.port}/{world}"


async def all_have(nodes: list[Watched], count: int) -> None:
    """Wait until each has delivered so many, in order."""
    for each in nodes:
        await each.until(lambda each=each: len(each.texts) == count)  # type: ignore[misc] # a default is how a loop's lambda keeps its value
        each.check()


class TestNetworkFaults(NetworkFaultsContract):
    """A server that answers before the disk has it: each of its lives begins new epochs."""

    module = nats_engine
    epochs_go_on = False
    last_words = b"-ERR 'Server Shutdown'\r\n"

    @pytest.fixture(autouse=True)
    def _take_server(self, server: NatsServer) -> None:
        self.server, self.url = server, server.url

    @override
    async def deafen(self, watched: Watched) -> None:
        engine = watched.engine
        assert isinstance(engine, nats_engine.NatsEngine)
        engine._connection.unsubscribe(engine._names.live_of(CHANNEL))


class TestNetworkFaultsOfASyncedServer(TestNetworkFaults):
    """A server that answers when the disk has it: its epochs go on."""

    epochs_go_on = True

    @pytest.fixture(autouse=True)
    @override
    def _take_server(self, server: NatsServer) -> None:
        server.kill()
        server.configure("", jetstream="sync_interval: always")
        server.start()
        self.server, self.url = server, f"{server.url}?sync=always"


def test_one_who_publishes_all_the_time_keeps_nobody_out(world: str) -> None:
    """A second node that finds the channel moved on asks for a turn, and gets it."""

    async def scene() -> None:
        async with node(world) as one, node(world) as other:
            other.engine.unsubscribe(CHANNEL)  # else it would hear where the channel is
            is_in = False

            async def keep_publishing(number: int) -> None:
                count = 0
                while not is_in:
                    await one.publish(f"{number} {count}")
                    count += 1

            async with asyncio.TaskGroup() as group:
                for number in range(8):
                    group.create_task(keep_publishing(number))
                for got_in in range(6):
                    await other.publish(f"other {got_in}")
                is_in = True

    play(scene)


def test_a_key_is_one_message_whichever_nodes_are_asked_at_once(world: str) -> None:
    """Two tries of one publisher may be under way on two nodes (requirement 111)."""

    async def scene() -> None:
        async with node(world) as one, node(world) as other:
            for number in range(20):
                key = str(number)
                asked = [each.publish(key, key) for each in (one, other, one, other)]
                assert len(set(await asyncio.gather(*asked))) == 1
            await all_have([one, other], 20)

    play(scene)


def test_a_retry_on_another_node_finds_what_was_stored_without_an_answer(world: str) -> None:
    """Whichever node died in between: the record itself names its keys (requirement 111)."""

    async def scene(proxy: Proxy, url: str) -> None:
        async with node(world) as one, node(url) as other:
            with proxy.delayed(0.15):
                lost = asyncio.create_task(other.publish("paid", key="k"))
                await one.until(lambda: one.texts == ["paid"])
                await asyncio.to_thread(proxy.cut)
                with pytest.raises(EngineError):
                    await lost
            first = await one.publish("paid", key="k")
            await one.publish("next")
            again = await one.publish("paid", key="k")
            await other.until(lambda: other.engine.is_available)
            there = await other.publish("paid", key="k")

            assert {first.offset, again.offset, there.offset} == {1}
            await all_have([one, other], 2)

    with proxied(world) as (proxy, url):
        play(lambda: scene(proxy, url))


def test_says_what_was_forgotten_while_it_was_away(world: str) -> None:
    """Longer than the stream reaches back: a flagged loss, and then on without a hole."""
    bounds = Bounds(messages=5, bytes=1_000_000, seconds=300)

    async def scene(proxy: Proxy, url: str) -> None:
        async with node(world, bounds) as one, node(url, bounds) as other:
            await one.publish("first")
            await other.until(lambda: len(other.log) == 1)
            with proxy.away():
                await other.until(lambda: not other.engine.is_available)
                for number in range(150):
                    last = await one.publish(str(number))
            await other.until(lambda: other.position is not None and other.position.offset == 151)
            other.check()

            assert [position.epoch for position in other.losses] == [last.epoch]
            assert len(other.texts) < 150

    with proxied(world) as (proxy, url):
        play(lambda: scene(proxy, url))


def test_reads_what_the_client_has_dropped(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-py throws away what is past its limits; here it is missed, and read."""

    async def scene() -> None:
        async with node(world) as one, node(world) as other:
            engine = other.engine
            assert isinstance(engine, nats_engine.NatsEngine)
            heard = engine._connection._subscriptions[engine._names.live_of(CHANNEL)]
            assert heard.subscription is not None
            heard.subscription._pending_bytes_limit = 1
            await one.publish("dropped")
            await other.until(lambda: other.texts == ["dropped"])
            heard.subscription._pending_bytes_limit = 0
            await one.publish("heard")
            await all_have([one, other], 2)

            assert other.losses == []

    play(scene)


def test_a_full_stream_fails_the_publish_and_nothing_else(world: str) -> None:
    """Reads and what waits to be taken go on (requirement 118)."""

    async def scene() -> None:
        async with node(world) as one:
            await one.publish("before")
            await one.put("k", b"v")
            engine = one.engine
            assert isinstance(engine, nats_engine.NatsEngine)
            ask = engine._connection.request
            config = (await engine._streams._info(ask, engine._names.channels)).config
            await engine._streams._change(ask, "UPDATE", config | {"max_bytes": 500})
            with pytest.raises(EngineError, match="maximum bytes"):
                await one.publish("x" * 1000)
            history, value = await one.read(), await one.take("k")
            await engine._streams._change(ask, "UPDATE", config)

            assert [each.data for each in history.publications] == ["before"]
            assert value == b"v"
            assert one.engine.is_available
            assert (await one.publish("after")).offset == 2
            one.check()

    play(scene)


def test_lets_no_more_wait_than_it_has_room_for(
    world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent server must not fill this process: what is more is refused (requirement 117)."""
    monkeypatch.setattr(nats_publishing, "MAX_WAITING_BYTES", 100_000)
    monkeypatch.setattr(requests, "MAX_PENDING", 50)

    async def scene(proxy: Proxy, url: str) -> None:
        async with node(url) as one:
            with proxy.silent():
                publishing = [asyncio.create_task(one.publish("x" * 1000)) for _ in range(200)]
                refused, unstored = await asyncio.wait(publishing, timeout=0.5)
                taking = [asyncio.create_task(one.take("k")) for _ in range(100)]
                also_refused, untaken = await asyncio.wait(taking, timeout=0.5)
            await asyncio.gather(*unstored, *untaken)

            assert 80 < len(unstored) < 100
            assert 40 < len(untaken) < 51
            assert all("room" in str(task.exception()) for task in refused | also_refused)

    with proxied(world) as (proxy, url):
        play(lambda: scene(proxy, url))


def test_reads_of_new_channels_find_nothing_at_once_while_nothing_is_stored(
    world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two publishes that wait, one may not learn why: what the other found stays known."""
    ask = NatsConnection.ask
    silences: list[EngineError] = []

    def refuse(
        self: NatsConnection,
        subject: str,
        data: bytes,
        answer: requests.TakeReply,
        headers: dict[str, str] | None = None,
        *,
        is_many: bool = False,
    ) -> int:
        if silences and headers and LAST_SUBJECT in headers:
            answer(silences.pop(0))
            return 0
        return ask(self, subject, data, answer, headers, is_many=is_many)

    monkeypatch.setattr(NatsConnection, "ask", refuse)

    async def scene() -> None:
        async with node(world) as one:
            silences.extend([requests.NoAnswerInTime("", SILENT), requests.NoAnswerInTime("")])
            for data in ("first", "second"):
                with pytest.raises(EngineError):
                    await one.publish(data)
            assert (await one.read(channel="item:new")).position.epoch == NO_EPOCH
            stored = await one.publish("third")  # it is answered, so the next read begins an epoch
            assert (await one.read(channel="item:new")).position.epoch not in {NO_EPOCH, ""}
            assert (await one.read()).position == stored

    play(scene)
