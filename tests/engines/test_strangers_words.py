"""What somebody else says on the ways of live messages and notices: it costs nobody anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import nats
import pytest

from itemwire.engines.nats.names import NatsNames
from tests.engines.postgres.database import new_database
from tests.engines.watched import node, play
from tests.fakes import CHANNEL
from tests.nats_server import running_nats
from tests.postgres_server import execute, running_postgres
from tests.redis_server import running_redis

WORDS: Final = (b"x", b"1 2", b"{}", b"a b c", b"9" * 5000 + b" e " + CHANNEL.encode(), b"\xff 1 2")

Say = Callable[[], Awaitable[object]]


async def hear_past(url: str, say: Say, caplog: pytest.LogCaptureFixture) -> None:
    """See that a node delivers what is published before and after, and says nothing of it."""
    async with node(url) as one, node(url) as other:
        await one.publish("before")
        await say()
        await one.publish("after")
        await one.post(b"notice")
        await other.until(lambda: other.texts == ["before", "after"])
        await other.until(lambda: b"notice" in other.noticed)
        assert other.engine.is_available
        assert other.losses == []
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.server
def test_on_postgresql_whoever_may_connect_may_notify(caplog: pytest.LogCaptureFixture) -> None:
    """A wake-up is no message: it only says what to read."""
    with running_postgres() as server:
        url = new_database(server)

        async def say() -> None:
            parts = (b"> ", b"> t1 1/2 eA==|" + CHANNEL.encode(), b"> t 2/1 x|" + CHANNEL.encode())
            for word in (*WORDS[:-1], *parts):  # a text
                await execute(url, "SELECT pg_notify('itemwire', $1)", word.decode())

        play(lambda: hear_past(url, say, caplog))


@pytest.mark.server
def test_on_redis_a_message_that_is_not_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The node reads what is stored instead."""
    with running_redis(tmp_path) as server:
        live = f"itemwire:0:{{{CHANNEL}}}:live", "itemwire:0:{notices}:live"

        async def say() -> None:
            for name in live:
                for word in ("x", "1", "{}", "a"):
                    heard = await asyncio.to_thread(server.ask, "PUBLISH", name, word)
                    assert heard == b":2\r\n"

        play(lambda: hear_past(server.url, say, caplog))


@pytest.mark.server
def test_on_nats_a_message_that_is_not_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no record, and no call for a turn."""
    with running_nats(tmp_path) as server:
        names = NatsNames("itemwire")

        async def say() -> None:
            client = await nats.connect(server.url)
            for subject in (names.live_of(CHANNEL), names.turns):
                for word in WORDS:
                    await client.publish(subject, word)
            await client.flush()
            await client.close()

        play(lambda: hear_past(server.url, say, caplog))
