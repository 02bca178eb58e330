"""Runs what an application needs from start to stop: keys, engine, one tick a second."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

import anyio.to_thread
from fastapi import FastAPI

from itemwire.channels.node import Node
from itemwire.startup_checks import warn_of_open_routes

logger = logging.getLogger("itemwire.channels")

TICK_SECONDS: Final = 1.0


Beside = Callable[[], AbstractAsyncContextManager[object]]
"""Makes a part that is opened before the node and closed after it; a new one per start."""


def lifespan_of(
    node: Node, *beside: Beside, state: Mapping[str, object]
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, object]]]:
    """Make the lifespan of an application: it runs the node and the parts beside it.

    `state` is what the application tells its server, by ASGI's lifespan state.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[Mapping[str, object]]:
        warn_of_open_routes(app)  # not earlier: by now the application has added its own routes
        async with contextlib.AsyncExitStack() as stack:
            for part in beside:
                await stack.enter_async_context(part())
            # Makes anyio import its backend now: without a free descriptor it could not.
            await anyio.to_thread.run_sync(_do_nothing)
            await node.start()
            node.direct.open()
            try:
                async with _ticking(node):
                    yield state
            finally:
                await node.stop()

    return lifespan


def _do_nothing() -> None:
    """Run in a thread."""


@contextlib.asynccontextmanager
async def _ticking(node: Node) -> AsyncGenerator[None]:
    task = asyncio.create_task(_tick(node))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _tick(node: Node) -> None:
    while True:
        due = time.monotonic() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        node.counters.loop_lag.observe(max(time.monotonic() - due, 0.0))
        try:
            node.tick()
        except Exception:
            # The loop must survive: without further ticks no token would ever expire.
            logger.exception("tick_failed")
