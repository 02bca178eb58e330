"""The Redis engine: its URL, and starts that fail."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from itemwire.engines import networked, open_engine
from itemwire.engines.base import Engine, EngineError, Sink
from tests.engines.watched import node, play
from tests.fakes import BOUNDS
from tests.redis_server import running_cluster, running_redis
from tests.server_process import free_port
from tests.timing import BUSY_SECONDS

SECRET = "hunter2"  # of no server


def refusal_of(engine: Engine) -> str:
    """Start an engine in vain, and give the reason."""

    async def start() -> None:
        try:
            await engine.start(Sink())
        finally:
            await engine.stop()

    with pytest.raises(EngineError) as refused:
        asyncio.run(start())
    return str(refused.value)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster"])
def test_a_server_that_is_not_there_is_one_clear_line(scheme: str) -> None:
    """Where, and why; never the password (requirement 117)."""
    problem = refusal_of(open_engine(f"{scheme}://me:{SECRET}@127.0.0.1:{free_port()}", BOUNDS))

    assert problem.startswith(f"cannot use {scheme}://***@127.0.0.1:")
    assert "connect" in problem.lower()
    assert "\n" not in problem
    assert SECRET not in problem


def test_a_wrong_password_is_one_clear_line(tmp_path: Path) -> None:
    """The right one is taken, the wrong one is not shown."""

    async def scene(url: str) -> None:
        async with node(url) as watched:
            assert (await watched.publish("hello")).offset == 1

    with running_redis(tmp_path) as server:
        server.ask("CONFIG", "SET", "requirepass", "open-sesame")
        play(lambda: scene(f"redis://:open-sesame@127.0.0.1:{server.port}"))
        problem = refusal_of(open_engine(f"redis://:{SECRET}@127.0.0.1:{server.port}", BOUNDS))

    assert "password" in problem
    assert SECRET not in problem


def test_a_right_that_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who may not listen would wait for a confirmation that nobody sends."""
    monkeypatch.setattr(networked, "START_SECONDS", 2.0)
    with running_redis(tmp_path) as server:
        server.ask("ACL", "SETUSER", "me", "on", f">{SECRET}", "+@all", "-subscribe", "~*", "&*")
        problem = refusal_of(open_engine(f"redis://me:{SECRET}@127.0.0.1:{server.port}", BOUNDS))

    assert "no permissions to run the 'subscribe' command" in problem
    assert "engine_refused" in caplog.text
    assert SECRET not in problem + caplog.text


def test_a_name_that_leads_nowhere_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two connections in search of it would leave the noise of the second behind."""
    problem = refusal_of(open_engine("redis://nowhere.invalid", BOUNDS))

    assert problem.startswith("cannot use redis://nowhere.invalid: ")
    assert caplog.text == ""


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    """Start-up ends with a reason, soon."""
    with running_redis(tmp_path) as server:
        engine = open_engine(server.url, BOUNDS)
        begun = time.monotonic()
        with server.paused():
            problem = refusal_of(engine)

    assert "no answer in time" in problem
    assert time.monotonic() - begun < 3 + BUSY_SECONDS


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@host:port",
        f"redis://:{SECRET}@[::1",
        f"redis://:{SECRET}/x@host",
        f"redis://:{SECRET}@host?nonsense=1",
        f"redis://:{SECRET}@host/orders",
        f"redis://:{SECRET}@host?socket_connect_timeout=soon",
    ],
)
def test_refuses_what_is_not_a_url(url: str) -> None:
    """With what to look at, and without the password."""
    with pytest.raises(ValueError, match="ITEMWIRE_ENGINE_URL is not a URL as redis:") as refused:
        open_engine(url, BOUNDS)

    assert SECRET not in str(refused.value)


def test_a_server_of_a_cluster_needs_the_cluster_scheme(tmp_path: Path) -> None:
    """And one that is not of a cluster needs the other: each says so."""
    with running_cluster(tmp_path) as servers:
        part = refusal_of(open_engine(servers[0].url, BOUNDS))
    with running_redis(tmp_path) as server:
        url = server.url.replace("redis:", "redis+cluster:")
        lone = refusal_of(open_engine(url, BOUNDS))

    assert "use redis+cluster://" in part
    assert "use redis://" in lone
