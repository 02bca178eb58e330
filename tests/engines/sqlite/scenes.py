"""Scenes on a SQLite engine, and what the tests do with its thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import TypeVar

from itemwire.engines.sqlite.engine import SqliteEngine
from itemwire.engines.sqlite.writer import StoreCall
from tests.conformance.asked_engine import WAIT_SECONDS, Asked

T = TypeVar("T")


def on(engine: SqliteEngine, scene: Callable[[Asked], Coroutine[object, object, T]]) -> T:
    """Play a scene on a started engine."""

    async def play() -> T:
        async with Asked(engine).running() as asked:
            return await scene(asked)

    return asyncio.run(play())


def statements_of(engine: SqliteEngine) -> list[str]:
    """Note every statement from now on."""
    assert engine._writer is not None
    statements: list[str] = []
    engine._writer._connection.set_trace_callback(statements.append)
    return statements


@contextlib.contextmanager
def stuck(engine: SqliteEngine) -> Iterator[None]:
    """Keep the engine's thread from going on, as a disk does that does not answer."""
    go_on = threading.Event()

    def wait(_store: object) -> None:
        go_on.wait(WAIT_SECONDS)

    engine._ask(StoreCall(answer=lambda _: None, run=wait))
    try:
        yield
    finally:
        go_on.set()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that nobody tells."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - it is another thread's
            await asyncio.sleep(0.01)
