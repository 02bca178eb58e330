"""broadcaster over Redis, like the chat application in its README, on uvicorn."""

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
# If several subscribe to a new channel at the same time, 0.3.1 keeps only the last.
subscribing = asyncio.Lock()


async def watch(websocket: WebSocket) -> None:
    """Check the token, then publish the socket's messages and send those of the item."""
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
    """Publish the messages of a socket."""
    item = websocket.path_params["item_id"]
    async for message in websocket.iter_text():
        await broadcast.publish(channel=item, message=message)


async def send(websocket: WebSocket) -> None:
    """Send the messages of the item to a socket."""
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
    """Keep the connection to Redis open."""
    async with broadcast:
        yield


app = Starlette(routes=[WebSocketRoute("/items/{item_id}/ws", watch)], lifespan=connected)

if __name__ == "__main__":
    run_asgi(app)
