"""The engine of a worker, where it differs from that of others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from itemwire.engines import open_engine
from itemwire.engines.base import Answer, EngineError
from itemwire.engines.faults import INVALID
from itemwire.engines.unix.engine import UnixEngine
from itemwire.messages import Draft, Position
from tests.conformance.asked_engine import answer_of
from tests.engines.unix.scenes import serving
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
