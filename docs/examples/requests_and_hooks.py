"""An application that answers requests, checks messages, and is told who is there."""

from fastapi import FastAPI
from pydantic import BaseModel

from itemwire import ChannelException, Itemwire, Member, Rights


async def current_user() -> dict[str, str]:
    """Return the user: the application's own dependency stands here."""
    return {"id": "ann"}


live = Itemwire(user=current_user)
app = FastAPI()
app.include_router(live.router, prefix="/live")

present: set[str] = set()


class MarkRead(BaseModel):
    """What a client has read."""

    upto: int


class Note(BaseModel):
    """What clients write to each other."""

    text: str


@live.channel("order:{number}")
async def order() -> Rights:
    """Let everybody read and write."""
    return Rights("subscribe", "publish")


@order.message("mark_read")
async def mark_read(message: MarkRead, number: int) -> dict[str, int]:
    """Answer what is left to read."""
    return {"order": number, "unread": max(5 - message.upto, 0)}


@order.before_publish
async def check(note: Note) -> Note:
    """Refuse rude words, and remove white space."""
    if "damn" in note.text:
        raise ChannelException("profanity", detail="Mind your language.")
    return Note(text=note.text.strip())


@order.on_join
async def joined(member: Member) -> None:
    """Note who is there."""
    present.add(member.subject)


@order.on_leave
async def left(member: Member) -> None:
    """Note who is gone."""
    present.discard(member.subject)
