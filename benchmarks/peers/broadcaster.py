"""broadcaster over Redis, as its README's chat application has it, on uvicorn."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from broadcaster import Broadcast
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.peers.serving import ENGINE_VARIABLE, run_asgi
from benchmarks.tokens import subject_of

broadcast = Broadcast(os.environ[ENGINE_VARIABLE])
# Of those that subscribe to a new channel at the same time, 0.3.1 keeps the last one only.
subscribing = asyncio.Lock()


async def watch(websocket: WebSocket) -> None:
    """Check the token, then publish what the socket says and send what is published."""
    if subject_of(websocket.query_params.get("token")) is None:
        await websocket.close(1008)
        return
    await websocket.accept()
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            await receive(websocket)
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        await send(websocket)


async def receive(websocket: WebSocket) -> None:
    """Publish what one says."""
    item = websocket.path_params["item_id"]
    async for message in websocket.iter_text():
        await broadcast.publish(channel=item, message=message)


async def send(websocket: WebSocket) -> None:
    """Send what is published to the item."""
    subscription = broadcast.subscribe(channel=websocket.path_params["item_id"])
    async with subscribing:
        subscriber = await subscription.__aenter__()
    try:
        async for event in subscriber:
            await websocket.send_text(event.message)
    except WebSocketDisconnect:
        pass
    finally:
        with anyio.CancelScope(shield=True):
            await subscription.__aexit__(None, None, None)


@asynccontextmanager
async def connected(_app: Starlette) -> AsyncIterator[None]:
    """Hold the connection to Redis."""
    async with broadcast:
        yield


app = Starlette(routes=[WebSocketRoute("/items/{item_id}/ws", watch)], lifespan=connected)

if __name__ == "__main__":
    run_asgi(app)
