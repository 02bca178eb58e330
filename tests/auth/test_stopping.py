"""The server that runs a process is found by what handles its signal, and told first of its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from itemwire_auth.stopping import before_shutdown, find_server


class Server:
    """As much of uvicorn's server as is looked at."""

    def __init__(self) -> None:
        self.should_exit = False
        self.notes: list[str] = []

    def handle_exit(self, _signal: int, _frame: object) -> None:
        """Be what handles SIGTERM."""

    async def shutdown(self) -> None:
        """Note that it has come to this."""
        self.notes.append("shut down")


@pytest.fixture
def server() -> Iterator[Server]:
    """Have a server handle the signal."""
    made, before = Server(), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, made.handle_exit)
    yield made
    signal.signal(signal.SIGTERM, before)


def test_finds_the_server_by_what_handles_its_signal(server: Server) -> None:
    """Its twin is below: nothing is found where another program does."""
    assert find_server() is server


def test_does_something_before_the_server_shuts_down(server: Server) -> None:
    """And only while it is asked to."""

    async def first() -> None:
        server.notes.append("first")

    async def scene() -> None:
        with before_shutdown(first):
            await server.shutdown()
        await server.shutdown()

    asyncio.run(scene())

    assert server.notes == ["first", "shut down", "shut down"]


def test_changes_nothing_where_no_server_is_found() -> None:
    """As in a test, gunicorn or a script, where another program handles the signal."""

    async def first() -> None:
        raise AssertionError

    with before_shutdown(first):
        assert find_server() is None
