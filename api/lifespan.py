"""What runs beside the sockets from start to stop: the engine, and one tick a second."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from fastapi import FastAPI

from api.channels.node import Node

TICK_SECONDS: Final = 1.0


def lifespan_of(node: Node) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Make the ASGI lifespan that runs a node."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await node.start()
        ticking = asyncio.create_task(_tick(node))
        try:
            yield
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
            await node.stop()

    return lifespan


async def _tick(node: Node) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        node.tick()
