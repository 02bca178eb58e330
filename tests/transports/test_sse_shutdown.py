"""Streams end when the server that runs them is to stop."""

from __future__ import annotations

import asyncio

import pytest

from itemwire.transports import sse_shutdown as streams
from itemwire.transports.sse_shutdown import OpenStreams


class Server:
    """As much of uvicorn's server as is looked at."""

    def __init__(self) -> None:
        self.should_exit = False


def test_ends_those_that_are_under_way_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that begins when the server is stopping already."""
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.001)
    ended: list[str] = []

    async def scene() -> None:
        server, running = Server(), OpenStreams(lambda: server)
        late = asyncio.Event()

        def over() -> None:
            ended.append("over")

        running.add(over)
        running.discard(over)
        running.add(lambda: ended.append("open"))
        async with running.running():
            await asyncio.sleep(0.005)  # some looks: nothing must have ended
            assert ended == []
            server.should_exit = True
            running.add(late.set)
            await asyncio.wait_for(late.wait(), 5)

    asyncio.run(scene())

    assert set(ended) == {"open"}


def test_has_nothing_to_look_at_elsewhere() -> None:
    """The lifespan goes on and ends as ever."""

    async def scene() -> None:
        async with OpenStreams(lambda: None).running():
            await asyncio.sleep(0)

    asyncio.run(scene())
