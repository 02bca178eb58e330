"""The FastAPI tutorial's connection manager with a list of sockets per item, on uvicorn."""

from typing import Annotated

from fastapi import Depends, FastAPI, Query, WebSocket, WebSocketDisconnect, WebSocketException

from benchmarks.peers.serving import run_asgi
from benchmarks.tokens import subject_of


class ConnectionManager:
    """The class of the tutorial, with items added."""

    def __init__(self) -> None:
        self.active_connections: dict[str, list[WebSocket]] = {}

    async def connect(self, item_id: str, websocket: WebSocket) -> None:
        """Accept a socket and remember it."""
        await websocket.accept()
        self.active_connections.setdefault(item_id, []).append(websocket)

    def disconnect(self, item_id: str, websocket: WebSocket) -> None:
        """Forget a socket."""
        self.active_connections[item_id].remove(websocket)

    async def broadcast(self, item_id: str, message: str) -> None:
        """Send a message to all sockets of an item, one after the other."""
        for connection in self.active_connections[item_id]:
            await connection.send_text(message)


app = FastAPI()
manager = ConnectionManager()


async def current_subject(token: Annotated[str | None, Query()] = None) -> str:
    """Check the token, and refuse as the tutorial does."""
    subject = subject_of(token)
    if subject is None:
        raise WebSocketException(code=1008)
    return subject


@app.websocket("/items/{item_id}/ws")
async def websocket_endpoint(
    websocket: WebSocket, item_id: str, _subject: Annotated[str, Depends(current_subject)]
) -> None:
    """Join, then send each message of this socket to all of the item."""
    await manager.connect(item_id, websocket)
    try:
        while True:
            await manager.broadcast(item_id, await websocket.receive_text())
    except WebSocketDisconnect:
        manager.disconnect(item_id, websocket)


if __name__ == "__main__":
    run_asgi(app)
