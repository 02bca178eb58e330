"""The client for Python and what an application adds: requests, refusals, rules of its channels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.security import OAuth2PasswordBearer

from itemwire import ChannelException, Itemwire, Rights
from itemwire.client import AsyncClient, PublishResult, ReceivedMessage, Refused
from itemwire.testing.servers import live_application
from tests.scenarios.clients import PATIENCE

ALL = Rights("subscribe", "publish", "history", "presence")
USERS = OAuth2PasswordBearer("login")


async def caller(token: Annotated[str, Depends(USERS)]) -> dict[str, str]:
    """Believe every token but one."""
    if token == "mallory":
        raise ChannelException("blocked", retry="never")
    return {"id": token}


live = Itemwire(user=caller)


@live.channel("order:{number}")
async def order() -> Rights:
    """Let everybody do everything."""
    return ALL


@order.message("double")
async def double(message: int, number: int) -> int:
    """Answer with something of the item and of the data."""
    return 2 * message + number


@order.before_publish
async def check(note: str) -> str:
    """Refuse by a word of the application's own."""
    if note == "damn":
        raise ChannelException("profanity", detail="Mind your language.", retry="later")
    return note.strip()


@live.channel("status:{name}", history=0, retain=True)
async def status() -> Rights:
    """Keep the last message."""
    return ALL


@live.channel("news:{name}", anonymous=True)
async def news() -> Rights:
    """Be public."""
    return ALL


@live.channel("cursor:{name}", history=0)
async def cursor() -> Rights:
    """Keep nothing."""
    return ALL


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run the application."""
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    with live_application(app) as server:
        yield f"{server.url}/live"


def client_of(url: str, user: str | None = "ann") -> AsyncClient:
    """Make a client of somebody."""
    return AsyncClient(url, token=user, proxy=None, backoff=(0.05, 0.2), timeout=PATIENCE)


def test_asks_the_application_and_is_refused_in_its_words(url: str) -> None:
    """A request, a message that was changed, and one that was refused."""

    async def scenario() -> None:
        async with client_of(url) as wire:
            item = wire.item("order:7")
            await item.join()
            assert await item.request("double", 3) == 13
            with pytest.raises(Refused, match="payload_invalid"):
                await item.request("double", "three")
            with pytest.raises(Refused, match="profanity: Mind your language") as refused:
                await item.publish("damn")
            await item.publish(" hello ")
            message = await item.receive()

        assert refused.value.retry == "later"
        assert isinstance(message, ReceivedMessage)
        assert message.data == "hello"

    asyncio.run(scenario())


def test_the_last_message_is_there_for_who_comes_late_and_not_twice(url: str) -> None:
    """Its offset is that of the welcome, which counts as heard everywhere else."""

    async def scenario() -> None:
        async with client_of(url) as wire, client_of(url, "bob") as late:
            await wire.publish("status:a", "open")
            item = late.item("status:a")
            first = await item.receive()
            await wire.publish("status:a", "shut")
            second = await item.receive()

        assert isinstance(first, ReceivedMessage)
        assert isinstance(second, ReceivedMessage)
        assert [first.data, second.data] == ["open", "shut"]

    asyncio.run(scenario())


def test_messages_that_are_not_stored_have_no_place(url: str) -> None:
    """Neither for who publishes them nor for who hears them."""

    async def scenario() -> None:
        async with client_of(url) as wire:
            item = wire.item("cursor:a")
            await item.join()
            before = item.position
            result = await item.publish({"x": 1})
            message = await item.receive()

            assert result == PublishResult(None)
            assert isinstance(message, ReceivedMessage)
            assert (message.offset, message.data) == (None, {"x": 1})
            assert item.position == before

    asyncio.run(scenario())


def test_a_message_to_this_caller_comes_without_an_item(url: str) -> None:
    """On all of its connections."""

    async def scenario() -> None:
        async with client_of(url, "carl") as wire:
            told: asyncio.Future[ReceivedMessage[object]] = (
                asyncio.get_running_loop().create_future()
            )
            wire.on("direct", told.set_result)
            await wire.ready()
            await live.send_to("carl", {"psst": 1})

            assert (await told).data == {"psst": 1}

    asyncio.run(scenario())


def test_a_public_item_needs_no_token(url: str) -> None:
    """And any other one does."""

    async def scenario() -> None:
        async with client_of(url, None) as wire:
            await wire.item("news:a").join()
            with pytest.raises(Refused):
                await wire.item("order:7").join()

    asyncio.run(scenario())


def test_the_server_greets_and_takes_all_joins_in_one_frame(url: str) -> None:
    """A reconnect with many items is one trip."""
    frames: list[dict[str, object]] = []

    async def scenario() -> None:
        async with client_of(url) as wire:
            wire.on("frame", lambda frame: frames.append(json.loads(frame)))
            items = [wire.item(f"order:{number}") for number in range(20)]
            await asyncio.gather(*(item.join() for item in items))

    asyncio.run(scenario())
    welcomes = [one for one in frames if one["type"] == "welcome"]
    assert (frames[0]["type"], frames[0]["subject"]) == ("hello", "ann")
    assert (len(welcomes), len({str(one["ref"]) for one in welcomes})) == (20, 1)


def test_bytes_travel_as_they_are(url: str) -> None:
    """In MessagePack, for who has chosen it."""

    async def scenario() -> None:
        async with AsyncClient(url, token="ann", proxy=None, codec="msgpack") as wire:
            item = wire.item("status:bytes")
            await item.join()
            await item.publish(b"\x00\xff")
            message = await item.receive()

        assert isinstance(message, ReceivedMessage)
        assert message.data == b"\x00\xff"

    asyncio.run(scenario())


def test_a_refusal_of_the_application_says_what_to_do(url: str) -> None:
    """Its own word and its own verdict, at the handshake."""

    async def scenario() -> None:
        async with client_of(url, "mallory") as wire:
            with pytest.raises(Refused) as refused:
                await wire.ready()

        assert (refused.value.reason, refused.value.retry) == ("blocked", "never")

    asyncio.run(scenario())
