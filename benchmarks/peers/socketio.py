"""python-socketio on uvicorn: a room per item; with several nodes, its Redis manager."""

import os
from typing import Any
from urllib.parse import parse_qs

import socketio

from benchmarks.peers.serving import ENGINE_VARIABLE, run_asgi
from benchmarks.tokens import subject_of

redis_url = os.environ.get(ENGINE_VARIABLE)
server = socketio.AsyncServer(
    async_mode="asgi",
    transports=["websocket"],
    client_manager=socketio.AsyncRedisManager(redis_url) if redis_url else None,
)
rooms: dict[str, str] = {}


@server.event
async def connect(sid: str, environ: dict[str, Any], _auth: object = None) -> None:
    """Check the token and enter the item's room."""
    query = parse_qs(environ["QUERY_STRING"])
    if subject_of(query.get("token", [""])[0]) is None:
        raise socketio.exceptions.ConnectionRefusedError("no valid token")
    rooms[sid] = query["item"][0]
    await server.enter_room(sid, rooms[sid])


@server.event
async def publish(sid: str, message: str) -> None:
    """Send a message to all in the room."""
    await server.emit("message", message, room=rooms[sid])


@server.event
async def disconnect(sid: str, _reason: str) -> None:
    """Forget the socket."""
    rooms.pop(sid, None)


if __name__ == "__main__":
    run_asgi(socketio.ASGIApp(server))
