"""The WebSocket examples of FastAPI's tutorial, with users, ends and refusals."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, Query, WebSocket, WebSocketDisconnect

from itemwire import Itemwire


@dataclass
class User:
    """A user of the application."""

    id: int


USERS = {"token-of-alice": User(1), "token-of-bob": User(2)}  # yours are in a database


async def current_user(
    session: Annotated[str | None, Cookie()] = None,
    token: Annotated[str | None, Query()] = None,
) -> User | None:
    """Find the user by a cookie or a token."""
    return USERS.get(session or token or "")


CurrentUser = Annotated[User | None, Depends(current_user)]

live = Itemwire(user=current_user)
app = FastAPI()
app.include_router(live.router, prefix="/live")


@app.websocket("/ws")
async def echo(websocket: WebSocket, user: CurrentUser) -> None:
    """Send every message back."""
    async with live.accept(websocket, user) as socket:
        async for text in socket.iter_text():
            await socket.send_text(f"Message text was: {text}")


@app.websocket("/items/{item_id}/ws")
async def item(websocket: WebSocket, user: CurrentUser, item_id: str, q: int | None = None) -> None:
    """Say what was asked for."""
    async with live.accept(websocket, user) as socket:
        async for text in socket.iter_text():
            await socket.send_text(f"Message text was: {text}, for item ID: {item_id}, q: {q}")


clients: dict[WebSocket, int] = {}


async def tell_all(text: str) -> None:
    """Send a text to each client that is still there."""
    for client in list(clients):
        with suppress(WebSocketDisconnect):
            await client.send_text(text)


@app.websocket("/ws/{client_id}")
async def chat(websocket: WebSocket, user: CurrentUser, client_id: int) -> None:
    """Tell all clients what one says, and that it has left."""
    async with live.accept(websocket, user) as socket:
        clients[socket] = client_id
        try:
            async for text in socket.iter_text():
                await tell_all(f"Client #{client_id} says: {text}")
        finally:
            del clients[socket]
    await tell_all(f"Client #{client_id} left the chat")
