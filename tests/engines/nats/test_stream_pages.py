"""Several messages are read from any server of a cluster: as many as its leader has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import LATE
from itemwire.engines.nats import stream_pages
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.jetstream import DONE, LAST, SEQUENCE, STATUS, TIME
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.stream_pages import Page, StreamPages
from itemwire.engines.nats.streams import JetStreams
from tests.fakes import BOUNDS

WHEN: Final = "2026-01-01T00:00:00Z"


class Servers:
    """A leader, and one that follows and is behind for so many reads, or for ever."""

    def __init__(self, there: list[int], missing: int, reads: int) -> None:
        self.there = there
        self.behind = there[: len(there) - missing]
        self.reads = reads
        self.asked: list[str] = []

    def ask(
        self,
        _subject: str,
        _data: bytes,
        answer: Callable[[list[Msg] | EngineError], None],
        *,
        is_many: bool = False,
    ) -> None:
        """Answer as the servers would."""
        self.asked.append("any" if is_many else "leader")
        if not is_many:
            last = self.there[-1]
            answer([message(f'{{"message":{{"seq":{last},"time":"{WHEN}","data":""}}}}')])
            return
        self.reads -= 1
        found = self.there if self.reads < 0 else self.behind
        messages = [message("", {SEQUENCE: str(one), TIME: WHEN}) for one in found]
        answer([*messages, message("", {STATUS: DONE, LAST: "0"})])


def message(data: str, headers: dict[str, str] | None = None) -> Msg:
    """Make a message of a server."""
    return Msg(cast("Client", None), data=data.encode(), headers=headers)


def read(servers: Servers, begin: int, replicas: int) -> list[int] | EngineError:
    """Read all that there is from a sequence on."""

    async def scene() -> Page | EngineError:
        streams = JetStreams(NatsNames("world"), BOUNDS, replicas, is_synced=False)
        pages = StreamPages(cast("NatsConnection", servers), streams)
        answered: asyncio.Future[Page | EngineError] = asyncio.get_running_loop().create_future()
        pages.ask("world", "world.x", begin, 10, answered.set_result)
        return await answered

    page = asyncio.run(scene())
    return (
        page
        if isinstance(page, EngineError)
        else [int(one.headers[SEQUENCE]) for one in page[0] if one.headers]
    )


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again after a moment."""
    monkeypatch.setattr(stream_pages, "STALE_SECONDS", 0.001)


@pytest.mark.parametrize("reads", [0, 1, 3])
@pytest.mark.parametrize("missing", [1, 2])
def test_what_a_server_that_is_behind_lacks_is_read_again(reads: int, missing: int) -> None:
    """The leader is asked each time: what it had last may have ended meanwhile."""
    servers = Servers([5, 7], missing, reads)

    assert read(servers, 1, replicas=3) == [5, 7]
    assert servers.asked == ["leader", "any"] * (reads + 1)


def test_who_reads_on_from_the_last_message_is_answered() -> None:
    """There is nothing more, so nothing lacks."""
    servers = Servers([7], missing=1, reads=1)

    assert read(servers, 8, replicas=3) == []
    assert servers.asked == ["leader", "any"]


def test_a_server_that_is_alone_is_asked_once() -> None:
    """Nobody has more than it."""
    servers = Servers([5, 7], missing=1, reads=1)

    assert read(servers, 1, replicas=1) == [5]
    assert servers.asked == ["any"]


def test_a_server_that_stays_behind_is_asked_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is said that nothing was answered in time."""
    monkeypatch.setattr(stream_pages, "ANSWER_SECONDS", 0.02)
    answer = read(Servers([5, 7], missing=1, reads=1_000_000), 1, replicas=3)

    assert isinstance(answer, EngineError)
    assert str(answer) == LATE
