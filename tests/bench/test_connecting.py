"""Handshakes and the memory of open sockets."""

import asyncio
import os
import subprocess
import sys
from http import HTTPStatus
from itertools import count

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from itemwire.bench.connecting import connect, idle
from itemwire.bench.errors import BenchError
from itemwire.bench.memory import memory_of
from itemwire.bench.results import Result
from itemwire.bench.work import Load
from tests.bench.servers import PassingOn, serving

NOBODY = 2**22 + 1  # above the highest process id that Linux gives


def test_counts_handshakes() -> None:
    """All of them are open, none failed."""

    async def run() -> list[Result]:
        async with serving(PassingOn()) as target:
            return await connect(target, Load(connections=20, repeat=2))

    first, second = asyncio.run(run())

    assert first.figures["connected"] == second.figures["connected"] == 20
    assert first.problems == second.problems == ()
    assert first.figures["per_s"] > 0
    assert first.figures["p99_ms"] > 0


def test_tells_failed_handshakes_from_the_others() -> None:
    """Each third is refused; the rate is that of those that were not."""
    numbers = count()

    def check(connection: ServerConnection, _request: Request) -> Response | None:
        refuse = next(numbers) % 3 == 1
        return connection.respond(HTTPStatus.TOO_MANY_REQUESTS, "later") if refuse else None

    async def run() -> list[Result]:
        async with serving(PassingOn(), check=check) as target:
            return await connect(target, Load(connections=9))

    (result,) = asyncio.run(run())

    assert (result.figures["connected"], result.figures["failed"]) == (6, 3)
    assert result.problems == ("3 connections refused with HTTP/1.1 429 Too Many Requests later",)


def test_memory_is_shared_among_the_connections() -> None:
    """What the process took more, for each; how much that is differs from one time to the next."""

    async def run() -> Result:
        async with serving(PassingOn()) as target:
            return await idle(target, Load(connections=50), os.getpid(), settle=0)

    figures = asyncio.run(run()).figures

    assert figures["before"] > 1_000_000
    assert figures["bytes_per_connection"] == (figures["after"] - figures["before"]) / 50


def test_the_memory_of_children_is_counted() -> None:
    """A server may have worker processes."""
    alone = memory_of(os.getpid())
    hold = "held = bytearray(b'x') * 50_000_000; print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", hold], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        together = memory_of(os.getpid())
        child.communicate(b"\n", timeout=60)

    assert together - alone > 40_000_000


def test_says_when_there_is_no_such_process() -> None:
    """A wrong --pid, not 0 bytes."""
    with pytest.raises(BenchError, match="no process with the id"):
        memory_of(NOBODY)
