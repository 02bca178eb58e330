"""What runs beside the sockets from start to stop: engine, keys, one tick a second."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from fastapi import FastAPI

from itemwire.channels.node import Node
from itemwire.startup_checks import warn_of_open_routes

logger = logging.getLogger("itemwire.channels")

TICK_SECONDS: Final = 1.0


Beside = Callable[[], AbstractAsyncContextManager[object]]
"""What is opened ahead of the node and closed after it, anew for each lifespan."""


def lifespan_of(
    node: Node, *beside: Beside
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Make the ASGI lifespan that runs a node, and opens and closes what is beside it."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warn_of_open_routes(app)  # here, for by now the application has added its own
        async with contextlib.AsyncExitStack() as stack:
            for part in beside:
                await stack.enter_async_context(part())
            await node.start()
            try:
                async with _ticking(node):
                    yield
            finally:
                await node.stop()

    return lifespan


@contextlib.asynccontextmanager
async def _ticking(node: Node) -> AsyncIterator[None]:
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
            # Without the next one no token would ever expire again.
            logger.exception("tick_failed")
