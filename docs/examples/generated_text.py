"""Generated text that clients get word by word, and can resume after a break or from its start.

Run it with `uvicorn docs.examples.generated_text:app`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import BackgroundTasks, Cookie, Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse

from itemwire import Itemwire, Rights

OWNERS: dict[str, str] = {}  # your table of answers: who may read each


def current_user(session: Annotated[str, Cookie()] = "") -> dict[str, str]:
    """Return the user: the application's own dependency stands here."""
    if not session:
        raise HTTPException(401)
    return {"id": session}


CurrentUser = Annotated[dict[str, str], Depends(current_user)]

live = Itemwire(user=current_user)
app = FastAPI()
app.include_router(live.router, prefix="/live")


async def words_about(question: str) -> AsyncIterator[str]:
    """Generate an answer: your model stands here."""
    for number in range(300):
        await asyncio.sleep(0.005)
        yield f"{question}-{number} "


@live.channel("answer:{answer_id}", history=5000, max_age=3600)
def answer(answer_id: str, user: CurrentUser) -> Rights:
    """Let whoever asked read the answer, from its first word on."""
    if OWNERS.get(answer_id) != user["id"]:
        raise HTTPException(404)
    return Rights("subscribe", "history")


@app.post("/answers")
async def ask(question: str, user: CurrentUser, tasks: BackgroundTasks) -> str:
    """Begin an answer, and return the item on which it comes."""
    answer_id = secrets.token_urlsafe(12)
    OWNERS[answer_id] = user["id"]
    tasks.add_task(write, answer_id, question)
    return f"answer:{answer_id}"


async def write(answer_id: str, question: str) -> None:
    """Publish an answer as it is generated, and then that nothing follows."""
    outcome = "failed"
    try:
        async for word in words_about(question):
            await answer.publish(word, answer_id=answer_id)
        outcome = "complete"
    finally:
        meta = {"outcome": outcome}
        await answer.publish("", answer_id=answer_id, meta=meta, end=True)


@app.get("/")
def page() -> FileResponse:
    """Serve the page that asks; yours has a user who has logged in."""
    served = FileResponse(Path(__file__).with_suffix(".html"))
    served.set_cookie("session", "ann", httponly=True)
    return served
