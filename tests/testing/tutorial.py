"""The example for WebSockets with dependencies in FastAPI's documentation, rewritten.

One route, a cookie or a query token, and a check that there is one.
"""

from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, Query, WebSocket, WebSocketException, status
from starlette.websockets import WebSocketDisconnect

app = FastAPI()


async def cookie_or_token(
    session: Annotated[str | None, Cookie()] = None,
    token: Annotated[str | None, Query()] = None,
) -> str:
    """Ask for a cookie or a token, and look at neither."""
    if session is None and token is None:
        raise WebSocketException(code=status.WS_1008_POLICY_VIOLATION)
    return session or token or ""


@app.websocket("/items/{item_id}/ws")
async def items(
    websocket: WebSocket,
    item_id: str,
    credential: Annotated[str, Depends(cookie_or_token)],
    q: int | None = None,
) -> None:
    """Answer each message with what was presented, and with the message."""
    await websocket.accept()
    try:
        while True:
            text = await websocket.receive_text()
            await websocket.send_text(f"You presented: {credential}")
            if q is not None:
                await websocket.send_text(f"You asked for: {q}")
            await websocket.send_text(f"For item {item_id} you wrote: {text}")
    except WebSocketDisconnect:
        pass
