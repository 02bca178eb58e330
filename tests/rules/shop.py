"""An application that answers requests and checks what its clients publish."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel

from itemwire import Channel, ChannelException, Itemwire, Rights
from tests.test_startup_checks import settings_of


class MarkRead(BaseModel):
    """What a client says that it has read."""

    upto: int


class Note(msgspec.Struct):
    """What a client publishes."""

    text: str


@dataclass
class Log:
    """What the application's functions have seen."""

    opened: int = 0
    closed: int = 0
    seen: list[str] = field(default_factory=list)
    released: Event = field(default_factory=Event)


log = Log()


async def session() -> AsyncGenerator[Log]:
    """Open the database for one message."""
    log.opened += 1
    try:
        yield log
    finally:
        log.closed += 1


SessionDep = Annotated[Log, Depends(session)]


async def pinned() -> AsyncGenerator[None]:
    """Open what a call that hangs would pin for ever."""
    try:
        yield
    finally:
        log.released.set()


async def current_user(
    token: Annotated[str, Depends(OAuth2PasswordBearer("login"))], _session: SessionDep
) -> str:
    """Find the user by what the socket presented."""
    if not token.startswith("user-"):
        raise HTTPException(401)
    return token.removeprefix("user-").partition(".")[0]


async def user_with_id(name: Annotated[str, Depends(current_user)]) -> dict[str, str]:
    """Return the user as `Itemwire` takes it."""
    return {"id": name}


CurrentUser = Annotated[str, Depends(current_user)]


def answer(order: Channel[..., Any]) -> None:
    """Declare what answers requests."""

    @order.message("mark_read")
    async def mark_read(
        message: MarkRead,
        number: int,
        user: CurrentUser,
        database: SessionDep,
        token: Annotated[str, Depends(OAuth2PasswordBearer("login"))],
    ) -> dict[str, object]:
        assert database.opened > database.closed
        return {"order": number, "by": user, "upto": message.upto, "token": token}

    @order.message("label")
    def label(note: Note, number: int) -> Note:
        return Note(f"{number}: {note.text}")

    @order.message("now")
    async def now() -> str:
        return "now"

    @order.message("sum")
    async def add(numbers: list[int] = [1, 2]) -> int:  # noqa: B006 - never changed
        return sum(numbers)

    @order.message("echo")
    async def echo(data: object, x_shop: Annotated[str, Header()] = "none") -> list[object]:
        return [data, x_shop]


def behave_badly(order: Channel[..., Any]) -> None:
    """Declare what answers late, never, or by raising."""

    @order.message("slow")
    async def slow(text: str) -> str:
        await asyncio.sleep(0.05 if text == "first" else 0)
        log.seen.append(text)
        return text

    @order.message("hang")
    async def hang(_pinned: Annotated[None, Depends(pinned)]) -> None:
        await asyncio.Event().wait()

    @order.message("fail")
    async def fail(how: str) -> object:
        errors = {
            "own": ChannelException("sold_out", retry="later", detail="Come back."),
            "404": HTTPException(404, "no such line"),
            "bug": ValueError("secret"),
            "cancelled": asyncio.CancelledError(),
        }
        if how == "unreadable":
            return object()
        raise errors[how]


def check(order: Channel[..., Any]) -> None:
    """Declare what checks messages."""
    errors = {
        "rude": ChannelException("profanity"),
        "forbidden": HTTPException(403),
        "bug": ValueError("secret"),
    }

    @order.before_publish
    async def check_note(
        note: Note, number: int, user: CurrentUser, _session: SessionDep
    ) -> Note | None:
        if note.text in errors:
            raise errors[note.text]
        if note.text == "slow":
            await asyncio.sleep(0.05)
        if note.text == "hang":
            await asyncio.Event().wait()
        return Note(f"{number} {user}: {note.text[5:]}") if note.text.startswith("sign ") else None


def application() -> FastAPI:
    """Make an application that answers requests and checks messages."""
    live = Itemwire(user=user_with_id, settings=settings_of(secret=None))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("order:{number}")
    async def order(number: int, user: CurrentUser) -> Rights:
        if user == "stranger":
            raise HTTPException(403)
        if number == 99:
            raise ChannelException("closed_today", retry="later")
        return Rights("subscribe", "history", publish=True)

    @live.channel("free:{name}")
    async def free(name: str) -> Rights:
        return Rights("subscribe", "publish")

    answer(order)
    behave_badly(order)
    check(order)
    return app
