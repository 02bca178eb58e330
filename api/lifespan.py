"""What runs beside the sockets from start to stop: engine, keys, one tick a second."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from fastapi import FastAPI

from api.channels.node import Node
from api.reauthorization import Reauthorizer

logger = logging.getLogger("itemwire.channels")

TICK_SECONDS: Final = 1.0


Running = Callable[[], AbstractAsyncContextManager[None]]


def lifespan_of(
    node: Node,
    reauthorizer: Reauthorizer | None = None,
    keys: Running = contextlib.nullcontext,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Make the ASGI lifespan that runs a node, and keeps the keys of tokens fresh."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await node.start()
        try:
            async with keys(), _ticking(node):
                yield
        finally:
            if reauthorizer is not None:
                await reauthorizer.stop()
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
        await asyncio.sleep(TICK_SECONDS)
        try:
            node.tick()
        except Exception:
            # Without the next one no token would ever expire again.
            logger.exception("tick_failed")
