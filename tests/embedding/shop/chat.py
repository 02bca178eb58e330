"""A WebSocket route that the shop had before."""

from fastapi import APIRouter, WebSocket, WebSocketDisconnect, WebSocketException

router = APIRouter()


@router.websocket("/chat")
async def chat(websocket: WebSocket, token: str = "") -> None:
    """Answer questions, and fail at one of them."""
    if token == "stranger":
        raise WebSocketException(4401, "log in first")
    await websocket.accept(headers=[(b"x-chat", b"1")])
    try:
        while True:
            question = await websocket.receive_text()
            if question == "crash":
                raise ZeroDivisionError("chat")
            await websocket.send_json({"question": question, "token": token})
    except WebSocketDisconnect:
        pass
