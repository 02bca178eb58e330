"""The engine process before an engine on a server: one node's connections for all its nodes."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typing_extensions import override

from itemwire.engines.base import EngineError
from itemwire.engines.faults import FULL
from itemwire.engines.unix import engine as unix_engine
from itemwire.engines.unix.words import UnsubscribeWord
from tests.conformance.network_faults_contract import NetworkFaultsContract
from tests.engine_process import EngineServerProcess, running_engine
from tests.engines.unix.test_faults import ProcessFaults
from tests.engines.watched import Watched, node, play
from tests.fakes import CHANNEL
from tests.proxy import Proxy
from tests.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def _unlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be healed by the look that comes now and then."""
    monkeypatch.setattr(unix_engine, "CHECK_SECONDS", 1000)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a server of this test alone."""
    with running_redis(tmp_path) as running:
        yield running


@contextlib.contextmanager
def process_before(folder: Path, url: str, name: str = "one") -> Iterator[EngineServerProcess]:
    """Run a process with an engine at a URL: a machine, as far as the server can tell."""
    place = folder / name
    place.mkdir()
    with running_engine(place, url) as process:
        yield process


class TestFaultsOfTheProcess(ProcessFaults):
    """Its end costs nothing: what is stored is elsewhere, and so are the epochs."""

    epochs_go_on = True

    @pytest.fixture(autouse=True)
    def _take_server(self, tmp_path: Path, redis: RedisServer) -> Iterator[None]:
        with process_before(tmp_path, redis.url) as self.server:
            self.url = self.server.url
            yield


class TestFaultsOfTheServer(NetworkFaultsContract):
    """Nodes notice of it what they would notice by connections of their own."""

    module = unix_engine
    epochs_go_on = False
    last_words = b"-ERR max number of clients reached\r\n"
    folder: Path

    @pytest.fixture(autouse=True)
    def _take_server(self, tmp_path: Path, redis: RedisServer) -> Iterator[None]:
        self.server, self.folder = redis, tmp_path
        with process_before(tmp_path, redis.url) as process:
            self.url = process.url
            yield

    @contextlib.contextmanager
    @override
    def proxied(self) -> Iterator[tuple[Proxy, str]]:
        with ExitStack() as stack:
            proxy = stack.enter_context(Proxy(self.server.port).running())
            url = f"redis://127.0.0.1:{proxy.port}/0"
            yield proxy, stack.enter_context(process_before(self.folder, url, "other")).url

    @override
    async def deafen(self, watched: Watched) -> None:
        assert isinstance(watched.engine, unix_engine.UnixEngine)
        watched.engine._link.say(UnsubscribeWord(CHANNEL))


def test_the_server_sees_one_node_and_tells_it_each_message_once(
    tmp_path: Path, redis: RedisServer
) -> None:
    """However many nodes hear the channel: that is what it is for."""

    async def scene() -> None:
        with process_before(tmp_path, redis.url) as process:
            async with node(process.url) as one, node(process.url) as two, node(redis.url) as alone:
                position = await alone.publish("from another machine")
                for each in (one, two, alone):
                    await each.until(lambda each=each: each.texts == ["from another machine"])  # type: ignore[misc] # a default is how a loop's lambda keeps its value
                heard = redis.ask("PUBSUB", "CHANNELS")
                (channel,) = re.findall(rb"\r\n(\S*42\S*:live)\r\n", heard)
                counted = redis.ask("PUBSUB", "NUMSUB", channel.decode())
                clients = redis.ask("CLIENT", "LIST").count(b" name=")

                assert position.offset == 1
                assert counted.endswith(b":2\r\n")  # a process, and a node by itself
                assert clients == 2 + 2 + 1  # two connections each, and that of the question

    play(scene)


def test_a_refusal_of_the_server_arrives_as_it_is(tmp_path: Path, redis: RedisServer) -> None:
    """So a publisher is told whether trying again helps."""

    async def scene() -> None:
        with process_before(tmp_path, redis.url) as process:
            async with node(process.url) as one:
                await one.publish("before")
                redis.ask("CONFIG", "SET", "maxmemory", "1")
                with pytest.raises(EngineError) as refused:
                    await one.publish("refused")
                redis.ask("CONFIG", "SET", "maxmemory", "0")
                after = await one.publish("after")

                assert refused.value.fault is FULL
                assert after.offset == 2

    play(scene)


def test_a_node_that_starts_later_knows_what_was_revoked_on_any_machine(
    tmp_path: Path, redis: RedisServer
) -> None:
    """Before the process was started, or while it ran (requirement 70)."""

    async def scene() -> None:
        async with node(redis.url) as alone:
            await alone.post(b"before")
            with process_before(tmp_path, redis.url) as process:
                async with node(process.url) as first:
                    await alone.post(b"meanwhile")
                    await first.until(lambda: len(first.noticed) == 2)
                    async with node(process.url) as late:
                        await late.until(lambda: len(late.noticed) == 2)
                        await late.post(b"after")
                        for each in (alone, first, late):
                            await each.until(lambda each=each: len(each.noticed) == 3)  # type: ignore[misc] # as above

                        assert first.noticed == late.noticed == [b"before", b"meanwhile", b"after"]

    play(scene)


def test_a_process_that_starts_while_the_server_is_away_serves_when_it_is_back(
    tmp_path: Path, redis: RedisServer
) -> None:
    """Its nodes are told why there is no engine, and come again."""

    async def scene() -> None:
        with process_before(tmp_path, redis.url) as process:
            async with node(process.url) as one, node(redis.url):
                before = await one.publish("before")
                redis.kill()
                process.kill()
                process.start()
                await one.until(lambda: not one.engine.is_available)
                with pytest.raises(EngineError):
                    await one.publish("into nothing")
                with pytest.raises(EngineError, match=r"cannot use redis://"):
                    async with node(process.url):
                        pass
                await asyncio.to_thread(redis.start)
                after = await one.publish_at_last("after")
                await one.until_at(after)

                assert after.epoch != before.epoch

    play(scene)


def test_a_new_epoch_is_told_to_each_node_though_nothing_is_published_in_it(
    tmp_path: Path, redis: RedisServer
) -> None:
    """The process finds it when the server is back, and nobody waits for the next look."""

    async def scene() -> None:
        with process_before(tmp_path, redis.url) as process:
            async with node(process.url) as one, node(process.url) as two:
                await one.publish("before")
                await two.until(lambda: two.texts == ["before"])
                await asyncio.to_thread(redis.kill)
                await asyncio.to_thread(redis.start)
                for each in (one, two):
                    await each.until(lambda each=each: bool(each.losses))  # type: ignore[misc] # as above

                assert one.losses == two.losses
                assert [loss.offset for loss in one.losses] == [0]

    play(scene)
