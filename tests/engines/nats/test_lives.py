"""The NATS engine when its server comes back: with all it had, with less, or with nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.engines.base import EngineError
from itemwire.engines.nats import engine as nats_engine
from itemwire.messages import Position
from tests.engines.nats.test_faults import all_have
from tests.engines.watched import node, play
from tests.nats_server import NatsServer, running_nats


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """Run a server of this test alone."""
    with running_nats(tmp_path) as running:
        yield running


def logged_endings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give what was logged of epochs that ended: once by each node."""
    told = [one.message.partition(" ") for one in caplog.records]
    return [problem for event, _, problem in told if event == "epochs_ended"]


@pytest.fixture(autouse=True)
def _unlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be healed by the look that comes now and then."""
    monkeypatch.setattr(nats_engine, "CHECK_SECONDS", 1000)
    monkeypatch.setattr(nats_engine, "LOOK_SECONDS", 1000)


@pytest.mark.parametrize("is_empty", [True, False], ids=["empty", "with-its-store"])
def test_begins_a_new_epoch_with_each_life_of_the_server(
    server: NatsServer, is_empty: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It may lack what it had answered, and would give its offsets again (requirement 113)."""

    async def scene() -> None:
        async with node(server.url) as one, node(server.url) as other:
            before = [await one.publish(str(number), str(number)) for number in range(3)]
            await other.until(lambda: len(other.log) == 3)
            server.kill()
            with pytest.raises(EngineError):
                await one.publish("into nothing")
            await other.until(lambda: not other.engine.is_available)
            if is_empty:
                server.empty()
            await asyncio.to_thread(server.start)
            after = await one.publish_at_last("after")
            for each in (one, other):
                await each.until_at(after)
                each.check()
                assert len(each.losses) == 1
                assert each.losses[0].epoch == after.epoch != before[0].epoch

            assert [after.offset, (await one.publish("more")).offset] == [1, 2]
            assert [each.data for each in (await one.read()).publications] == ["after", "more"]
            if not is_empty:
                assert await one.publish("2", key="2") == before[2]

    play(scene)

    # The node that found it says how, the other that it was told; or both have found it.
    assert "problem=the stream itemwire-life is empty or new" in logged_endings(caplog)
    assert len(logged_endings(caplog)) == 2


def test_goes_on_with_its_epochs_where_the_server_loses_nothing(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    """What is on the disk before it is answered is there after any end."""
    server.kill()
    server.configure("", jetstream="sync_interval: always")
    server.start()
    url = f"{server.url}?sync=always"

    async def scene() -> None:
        async with node(url) as one, node(url) as other:
            await one.publish("before", key="before")
            await other.until(lambda: len(other.log) == 1)
            server.kill()
            await other.until(lambda: not other.engine.is_available)
            await asyncio.to_thread(server.start)
            after = await one.publish_at_last("after")
            await all_have([one, other], 2)

            assert (await one.publish("before", key="before")) == Position(after.epoch, 1)
            assert after.offset == 2
            assert one.losses == other.losses == []

    play(scene)
    assert not logged_endings(caplog)


def test_begins_a_new_epoch_when_an_older_store_was_put_back(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A node that has seen more than there is now says so to all (requirement 113)."""
    url = f"{server.url}?sync=always"
    copy = server.store.with_name("copy")

    async def scene() -> None:
        async with node(url) as one, node(url) as other:
            before = await one.publish("kept")
            server.kill()
            shutil.copytree(server.store, copy)
            await asyncio.to_thread(server.start)
            await one.publish_at_last("lost")
            await other.until(lambda: len(other.log) == 2)
            server.kill()
            server.empty()
            copy.rename(server.store)
            await asyncio.to_thread(server.start)
            after = await one.publish_at_last("after")
            for each in (one, other):
                await each.until_at(after)
                each.check()

            assert after.offset == 1
            assert after.epoch != before.epoch

    play(scene)
    assert any("records, and not the" in told for told in logged_endings(caplog))


@pytest.mark.parametrize(
    "streams",
    [
        pytest.param(["itemwire"], id="channels"),
        pytest.param(["itemwire-life"], id="life"),
        pytest.param(["itemwire-notices"], id="notices"),
        pytest.param(["itemwire", "itemwire-kept", "itemwire-notices", "itemwire-life"], id="all"),
    ],
)
def test_makes_its_streams_again_when_somebody_has_deleted_them(
    server: NatsServer, streams: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """All that was in them is lost, and that is said; then it goes on (requirement 113)."""

    async def scene() -> None:
        async with node(server.url) as one, node(server.url) as other:
            before = await one.publish("before")
            await one.post(b"before")
            engine = one.engine
            assert isinstance(engine, nats_engine.NatsEngine)
            life = engine._streams.life
            for stream in streams:
                await engine._connection.request(f"$JS.API.STREAM.DELETE.{stream}", b"")
            engine._is_look_due = True
            await one.until(lambda: engine._streams.life != life)
            after = await one.publish_at_last("after")
            await one.until(lambda: one.engine.is_available)
            await one.post(b"after")
            for each in (one, other):
                await each.until(lambda each=each: after in [each.position, *each.losses])  # type: ignore[misc] # as above
                await each.until(lambda each=each: each.noticed[-1:] == [b"after"])  # type: ignore[misc] # as above
                each.check()

            assert after.epoch != before.epoch

    play(scene)
    assert logged_endings(caplog)


def test_a_refused_publish_is_reason_enough_to_look(server: NatsServer) -> None:
    """Nobody has to wait for the next look to have a stream again."""

    async def scene() -> None:
        async with node(server.url) as one:
            before = await one.publish("before")
            engine = one.engine
            assert isinstance(engine, nats_engine.NatsEngine)
            await engine._connection.request("$JS.API.STREAM.DELETE.itemwire", b"")
            with pytest.raises(EngineError, match="JetStream is away"):
                await one.publish("refused")
            after = await one.publish_at_last("after")

            assert after.epoch != before.epoch

    play(scene)
