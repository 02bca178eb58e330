"""The engine of a worker, where it differs from that of others."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from itemwire.engines import open_engine
from itemwire.engines.base import Answer, EngineError, Sink, UnfitEngine
from itemwire.engines.faults import INVALID, PART_AWAY
from itemwire.engines.unix.engine import UnixEngine
from itemwire.messages import Draft, Position
from tests.conformance.asked_engine import answer_of
from tests.engines.unix.scenes import serving
from tests.engines.unix.test_node_notices import Store
from tests.engines.watched import BOUNDS, node, play
from tests.fakes import CHANNEL

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    "url", ["itemwire+unix://", "itemwire+unix://engine.sock", "itemwire+unix://host/engine.sock"]
)
def test_refuses_a_url_that_names_no_socket(url: str) -> None:
    """In one line, as other engines do."""
    with pytest.raises(ValueError, match=r"itemwire\+unix:///run/x\.sock"):
        open_engine(url, BOUNDS)


def test_says_whom_it_cannot_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has waited for as long as one may take that is started again."""
    monkeypatch.setattr("itemwire.engines.networked.CONNECT_SECONDS", 0.3)

    async def scene() -> None:
        with pytest.raises(EngineError, match=r"cannot use itemwire\+unix:///.*No such file"):
            async with node(f"itemwire+unix://{tmp_path}/nobody.sock"):
                pass

    play(scene)


def test_a_node_waits_for_a_process_that_is_started_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both may have ended at once; a worker that gave up would end all others at the start."""

    async def scene() -> None:
        async def publish() -> None:
            async with node(f"itemwire+unix://{tmp_path}/engine.sock") as one:
                await one.publish("at last")

        publishing = asyncio.create_task(publish())
        async with asyncio.timeout(20):
            while "engine_starting" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.01)
        assert not publishing.done()
        async with serving(tmp_path):
            await asyncio.wait_for(publishing, 20)

    play(scene)


@pytest.mark.parametrize("fields", [("\ud800", "x"), ("42", "\ud800")], ids=["item", "data"])
def test_text_that_is_none_is_refused_for_good(tmp_path: Path, fields: tuple[str, str]) -> None:
    """Asking again does not help, and the connection stays."""

    async def scene() -> None:
        async with serving(tmp_path), node(f"itemwire+unix://{tmp_path}/engine.sock") as one:
            item, data = fields
            draft = Draft(item, "alice", 1.5, data)

            def publish(answer: Answer[Position]) -> None:
                one.engine.publish(CHANNEL, draft, answer)

            with pytest.raises(EngineError) as refused:
                await answer_of(publish)

            assert refused.value.fault is INVALID
            assert (await one.publish("after")).offset == 1

    play(scene)


def test_what_is_asked_while_the_connection_is_made_anew_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment without one is no reason to trouble publishers."""
    monkeypatch.setattr("itemwire.engines.tasks.FIRST_PAUSE", 0.5)

    async def scene() -> None:
        async with (
            serving(tmp_path) as server,
            node(f"itemwire+unix://{tmp_path}/engine.sock") as one,
        ):
            for each in list(server._nodes):
                each.break_off("a test")
            engine = one.engine
            assert isinstance(engine, UnixEngine)
            await one.until(lambda: not engine._link.is_connected)
            await asyncio.gather(*(one.publish(str(number)) for number in range(10)))
            one.check()

            assert len(one.texts) == 10

    play(scene)


def test_a_node_knows_of_the_engine_of_the_process_what_that_knows_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which server is away, what is stored and how large, from its start on and at each change."""

    async def scene() -> None:
        async with serving(tmp_path) as server:
            kind = type(server.engine)
            monkeypatch.setattr(kind, "most_bytes", 1000)
            async with node(f"itemwire+unix://{tmp_path}/engine.sock") as one:
                assert (one.engine.most_bytes, one.engine.fault, one.engine.parts) == (
                    1000,
                    None,
                    {},
                )
                monkeypatch.setattr(kind, "fault", PART_AWAY)
                monkeypatch.setattr(kind, "parts", {"a:1": True, "b:2": False})
                await one.until(lambda: one.engine.fault is PART_AWAY)

                assert one.engine.parts == {"a:1": True, "b:2": False}
                assert one.engine.is_available

    play(scene)


@pytest.mark.parametrize("kind", [EngineError, UnfitEngine])
def test_a_node_is_told_why_the_process_has_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[EngineError]
) -> None:
    """As if it had connections of its own: whether a restart helps, too."""

    async def scene() -> None:
        engine = Store(BOUNDS)

        async def refuse(_sink: Sink) -> None:
            raise kind("it is of another kind")

        async with serving(tmp_path, engine):
            url = f"itemwire+unix://{tmp_path}/engine.sock"
            with monkeypatch.context() as patched:
                patched.setattr(engine, "start", refuse)
                with pytest.raises(EngineError, match="it is of another kind") as refused:
                    async with node(url):
                        pass
            async with node(url) as one:
                assert (await one.publish("served at last")).offset == 1

        assert type(refused.value) is kind

    play(scene)


def test_a_channel_that_the_process_cannot_hear_is_refused_at_once_with_the_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several servers one may be away; the others' channels are served."""

    async def scene() -> None:
        async with (
            serving(tmp_path) as server,
            node(f"itemwire+unix://{tmp_path}/engine.sock") as one,
        ):

            def refuse(_channel: str, answer: Answer[None]) -> None:
                answer(EngineError("b:2 is away", PART_AWAY))

            with monkeypatch.context() as patched:
                patched.setattr(server.engine, "subscribe", refuse)
                began = time.monotonic()
                with pytest.raises(EngineError, match="b:2 is away") as refused:
                    await one.subscribe("item:there")
                seconds = time.monotonic() - began
            one.engine.unsubscribe("item:there")
            await one.subscribe("item:there")

            assert refused.value.fault is PART_AWAY
            assert seconds < 1

    play(scene)


def test_what_the_process_may_have_missed_each_node_may_have_missed(tmp_path: Path) -> None:
    """Of what nodes tell each other, and of messages: those are read."""

    async def scene() -> None:
        async with (
            serving(tmp_path) as server,
            node(f"itemwire+unix://{tmp_path}/engine.sock") as one,
        ):
            first = await one.publish("first")
            known = len(one.missed)
            server._miss(CHANNEL)
            await one.until(lambda: len(one.missed) > known)
            server._lose(CHANNEL, Position("new", 7))
            await one.read()

            assert one.missed[known:] == [CHANNEL]
            assert server.position_of(CHANNEL) == Position("new", 7)
            assert (one.losses, first.offset) == ([], 1)  # it is there still

    play(scene)


def test_a_node_is_not_ready_while_the_engine_of_the_process_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not answer is seen by all workers."""

    async def scene() -> None:
        async with (
            serving(tmp_path) as server,
            node(f"itemwire+unix://{tmp_path}/engine.sock") as one,
        ):
            kind = type(server.engine)
            monkeypatch.setattr(kind, "is_available", False)
            await one.until(lambda: not one.engine.is_available)
            monkeypatch.setattr(kind, "is_available", True)
            await one.until(lambda: one.engine.is_available)

    play(scene)
