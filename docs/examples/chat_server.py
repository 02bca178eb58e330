"""Rooms to chat in, for `chat.html` and `chat.jsx`: `uvicorn docs.examples.chat_server:app`."""

from pathlib import Path
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, HTTPException, Response
from fastapi.responses import FileResponse

from itemwire import Itemwire, Rights

CLOSED_TO: dict[str, set[str]] = {}  # your table of who is banned from which rooms


def current_user(session: Annotated[str, Cookie()] = "") -> dict[str, str]:
    """Return the user: the application's own dependency stands here."""
    if not session:
        raise HTTPException(401)
    return {"id": session}


live = Itemwire(user=current_user)
app = FastAPI()
app.include_router(live.router, prefix="/live")


CurrentUser = Annotated[dict[str, str], Depends(current_user)]


@live.channel("room:{name}", model=str, history=100)
def room(name: str, user: CurrentUser) -> Rights:
    """Let everybody who has logged in talk and listen, and see who is there."""
    if name in CLOSED_TO.get(user["id"], ()):
        raise HTTPException(403)
    return Rights("subscribe", "publish", "history", "presence")


@app.post("/login")
def login(name: str, response: Response) -> None:
    """Begin a session; yours asks for a password."""
    response.set_cookie("session", name, httponly=True)


@app.get("/")
def page() -> FileResponse:
    """Serve the page in plain JavaScript."""
    return FileResponse(Path(__file__).with_name("chat.html"))
