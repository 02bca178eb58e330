"""The AsyncAPI document: valid by the published schema, and true of what is sent."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import jsonschema
import msgspec
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from itemwire import Itemwire, Rights
from itemwire.channels.sessions.commands import COMMANDS_OF_MANY
from itemwire.messages import Event, Reply
from itemwire.routes.asyncapi import asyncapi_of
from itemwire.rules.asyncapi import (
    EVENTS_OF_MANY,
    Credentials,
    DescribedChannel,
    ReadDirect,
    ReadEphemeral,
    ReadMessage,
    document_of,
)
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.scenarios.clients import token
from tests.test_startup_checks import settings_of

SCHEMA: Final = json.loads(
    (Path(__file__).parent / "schemas" / "asyncapi-3.0.0.json").read_text("utf-8")
)
Json = dict[str, Any]


class Line(BaseModel):
    """A part of an order."""

    article: str


class Order(BaseModel):
    """What is published to an order's channel."""

    lines: list[Line]


class Publish(msgspec.Struct):
    """A model with the name of a request."""

    text: str


CHANNELS: Final = (
    DescribedChannel("order:{number}", ("number",), "<b>Orders</b>", Order),
    DescribedChannel("order_number"),
    DescribedChannel("logs:{rest:path}", ("rest",), model=Publish),
    DescribedChannel("either", model=Order | Line),
    DescribedChannel("items"),
)


def document(*channels: DescribedChannel) -> Json:
    """Make the document of these channels, after looking whether it is one."""
    found: Json = json.loads(document_of(channels, Credentials("session", tickets=True)))
    jsonschema.validate(found, SCHEMA, jsonschema.Draft7Validator)
    return found


def references(found: Json) -> set[str]:
    """Find everything that a document refers to."""
    return set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(found)))


def check_message(found: Json, name: str, message: object) -> None:
    """Check that a message is what the document says of it."""
    payload = found["components"]["messages"][name]["payload"]
    whole = {**payload, "components": found["components"]}
    jsonschema.validate(message, whole, jsonschema.Draft202012Validator)


def test_is_valid_whatever_an_application_declares() -> None:
    """And all that it refers to is in it: the schema cannot check that."""
    found = document(*CHANNELS)

    for reference in references(found):
        place: Any = found
        for part in reference.split("/"):
            place = place[part]
    keys = ["item", "items", "order_number", "order_number_", "logs_rest_path", "either", "items_"]
    assert list(found["channels"]) == keys
    assert found["channels"]["logs_rest_path"]["address"] == "/items/logs:{rest}/ws"


def test_names_all_that_can_be_sent() -> None:
    """A new event or request cannot be left out of it."""
    ours = {event for event in Event.__subclasses__() if event.__module__ == Event.__module__}
    as_read = {ReadMessage, ReadEphemeral, ReadDirect}
    described = {one.__base__ if one in as_read else one for one in EVENTS_OF_MANY.values()}
    replies = {one for one in Reply.__subclasses__() if one.__module__ == Event.__module__}
    missing = {one.__name__ for one in (ours | replies) - described}

    assert missing == {"HistoryReply"}  # which is described with messages as clients read them
    assert COMMANDS_OF_MANY.keys() <= document()["components"]["messages"].keys()


def test_the_data_of_a_channel_has_its_model() -> None:
    """For what its clients get and for what they send; other channels take any JSON."""
    found = document(*CHANNELS)
    envelope = {"type": "message", "item": "order:1", "offset": 1, "sender": "a", "sent_at": 1.5}
    fits: Json = {"lines": [{"article": "a"}]}
    does_not: Json = {"lines": [{}]}

    for data in (fits, does_not):
        check_message(found, "message", {**envelope, "data": data})
    check_message(found, "order_number_message", {**envelope, "data": fits})
    check_message(found, "order_number_publish", {"type": "publish", "data": fits})
    check_message(found, "logs_rest_path_publish", {"type": "publish", "data": {"text": "a"}})
    for name, message in (("message", envelope), ("publish", {"type": "publish"})):
        with pytest.raises(jsonschema.ValidationError, match="article"):
            check_message(found, f"order_number_{name}", {**message, "data": does_not})


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Run a host with a channel, and its document."""
    live = Itemwire(settings=settings_of(query_tokens=True))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("order:{number}")
    async def order(number: int) -> Rights:
        """Tell <what> happens to an order."""
        return Rights("subscribe", "publish", "history", "presence", info={"name": "Al"})

    @live.channel("cursor:{board}", model=Line, history=0)
    async def cursor(board: str) -> Rights:
        return Rights("subscribe", "publish")

    with live_application(app) as running:
        yield running


@pytest.mark.server
def test_what_a_server_sends_is_what_its_document_says(server: LiveServer) -> None:
    """Each envelope of a session, by the name that its type has."""
    found = httpx.get(f"{server.url}/live/asyncapi.json").json()
    jsonschema.validate(found, SCHEMA, jsonschema.Draft7Validator)
    with server.client(f"/live/items/order:1/ws?token={token()}") as alice:
        check_message(found, "welcome", alice.welcome())
        with server.client(f"/live/items/order:1/ws?token={token('bob')}"):
            check_message(found, "joined", alice.expect("joined"))
        published = alice.ask("publish", data={"a": 1}, meta={"b": "c"}, end=True)
        check_message(found, "publish_reply", published)
        check_message(found, "message", alice.message())
        check_message(found, "history_reply", alice.ask("history"))
        check_message(found, "members_reply", alice.ask("members"))
        check_message(found, "refresh_reply", alice.ask("refresh", token=token()))
        check_message(found, "error", alice.ask("publish"))
        check_message(found, "pong", alice.ask("ping"))

    assert "order_number" in found["channels"]
    assert found["components"]["securitySchemes"].keys() == {"bearer", "token", "ticket", "cookie"}


@pytest.mark.server
def test_messages_that_are_not_stored_are_described(server: LiveServer) -> None:
    """With the model that their channel declares, and what goes with them."""
    found = httpx.get(f"{server.url}/live/asyncapi.json").json()
    with server.client(f"/live/items/cursor:1/ws?token={token()}") as alice:
        check_message(found, "welcome", alice.welcome())
        reply = alice.ask("publish", data={"article": "a"}, meta={"b": "c"}, end=True)
        check_message(found, "ephemeral_reply", reply)
        message = alice.message()
        check_message(found, "cursor_board_ephemeral_message", message)

    assert (message["meta"], message["end"]) == ({"b": "c"}, True)
    with pytest.raises(jsonschema.ValidationError, match="article"):
        check_message(found, "cursor_board_ephemeral_message", {**message, "data": {}})


@pytest.mark.server
def test_people_get_a_page(server: LiveServer) -> None:
    """With nothing of other sites, and what an application says shown as text."""
    page = httpx.get(f"{server.url}/live/asyncapi")

    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "/items/order:{number}/ws" in page.text
    assert "Tell &lt;what&gt; happens to an order." in page.text
    assert "://" not in page.text
    assert httpx.get(f"{server.url}/live/console/base.css").is_success


def test_a_host_with_users_of_its_own_reads_other_credentials() -> None:
    """No cookie and no tickets of ours."""
    live = Itemwire(user=lambda: None, settings=settings_of(secret=None))
    found = json.loads(asyncapi_of(live.app))

    assert found["components"]["securitySchemes"].keys() == {"bearer", "token"}
