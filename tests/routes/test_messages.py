"""The HTTP routes of an item: what they refuse, and how."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from itemwire.assembly import Assembly
from itemwire.channels import timely_answers
from itemwire.main import create_app
from itemwire.settings import Settings
from tests.conftest import SECRET
from tests.routes.scripted_node import FAILURE, ScriptedNode
from tests.scenarios.clients import EVERYTHING, token

JSON = "application/json"


@pytest.fixture
def app() -> FastAPI:
    """Give an application of its own."""
    return create_app(Settings(secret=SECRET, max_message_bytes=100, _env_file=None))


def call(
    app: FastAPI,
    method: str,
    path: str,
    *,
    content: bytes | AsyncIterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
    bearer: str | None = None,
) -> httpx.Response:
    """Make one request, with every right unless another token is given."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        sent = {"Authorization": f"Bearer {bearer or token('alice', EVERYTHING)}"}
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        async with app.router.lifespan_context(app), client:
            return await client.request(
                method, path, content=content, headers={**sent, **(headers or {})}
            )

    return asyncio.run(request())


def post(app: FastAPI, content: bytes, media_type: str | None, **headers: str) -> httpx.Response:
    """Publish a body of a media type."""
    typed = {"Content-Type": media_type} if media_type is not None else {}
    return call(app, "POST", "/items/1/messages", content=content, headers={**typed, **headers})


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        (JSON, 201),
        ("application/json; charset=UTF-8", 201),
        ("Text/HTML", 201),
        ("application/octet-stream", 201),
        (None, 415),
        ("", 415),
        ("json", 415),
        ("application/xml", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain; charset=latin-1", 415),
        ("application/json; charset=utf-16", 415),
    ],
)
def test_takes_json_text_and_bytes(app: FastAPI, media_type: str | None, status: int) -> None:
    """What it is must be said, for a guess would be another message."""
    answer = post(app, b"1", media_type)

    assert answer.status_code == status
    assert status == 201 or answer.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        pytest.param(JSON, b"", id="empty"),
        pytest.param(JSON, b"{", id="cut"),
        pytest.param(JSON, b"1 2", id="two"),
        pytest.param(JSON, b"NaN", id="nan"),
        pytest.param(JSON, b'"\\ud800"', id="half-a-pair"),
        pytest.param(JSON, b'["\xff"]', id="no-utf8-in-json"),
        pytest.param(JSON, b"[" * 100, id="deep"),
        pytest.param("text/plain", b"\xff", id="no-utf8"),
    ],
)
def test_refuses_what_is_not_what_it_says(app: FastAPI, media_type: str, body: bytes) -> None:
    """A socket could not have sent it; the answer repeats nothing of it (requirement 80)."""
    answer = post(app, body, media_type)

    assert (answer.status_code, answer.json()["code"]) == (422, "payload_invalid")
    assert answer.headers["content-type"] == "application/problem+json"


def test_stops_reading_past_the_limit(app: FastAPI) -> None:
    """Nobody can fill the memory by a body without end, nor with a right to nothing."""
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"x" * 60

    text = {"Content-Type": "text/plain"}
    answer = call(app, "POST", "/items/1/messages", content=endless(), headers=text)
    taken_in_all, taken = taken, 0
    reader = token("bob", "items:subscribe")
    refused = call(app, "POST", "/items/1/messages", content=endless(), headers=text, bearer=reader)

    assert (answer.status_code, taken_in_all) == (413, 2)
    assert (refused.status_code, taken) == (403, 0)


def test_a_body_that_does_not_come_is_not_waited_for(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte now and then would hold a request for ever."""
    monkeypatch.setattr("itemwire.responses.request_bodies.BODY_SECONDS", 0.01)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    answer = call(
        app, "POST", "/items/1/messages", content=slow(), headers={"Content-Type": "text/plain"}
    )

    assert (answer.status_code, answer.json()["code"]) == (408, "message_timeout")


def test_a_client_that_goes_amid_its_body_publishes_nothing(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a text is another text; and it is nothing to be warned of."""
    caplog.set_level(logging.WARNING)  # another test may have configured logging

    async def scene() -> list[Message]:
        sent: list[Message] = []
        incoming: list[Message] = [
            {"type": "http.request", "body": b"half", "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive() -> Message:
            return incoming.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        bearer = f"Bearer {token('alice', EVERYTHING)}".encode()
        headers = [(b"authorization", bearer), (b"content-type", b"text/plain")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/items/1/messages",
            "query_string": b"",
            "headers": headers,
        }
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)
        return sent

    sent = asyncio.run(scene())

    assert sent[0]["status"] == 422
    assert call(app, "GET", "/items/1/messages").json()["messages"] == []
    assert caplog.records == []


@pytest.mark.parametrize(("key", "status"), [("k", 201), ("k" * 128, 201), ("k" * 129, 422)])
def test_bounds_the_key(app: FastAPI, key: str, status: int) -> None:
    """It is kept for minutes."""
    assert post(app, b"1", JSON, **{"Idempotency-Key": key}).status_code == status


@pytest.mark.parametrize("is_silent", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_engine_that_is_away_is_no_success(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, method: str, is_silent: bool
) -> None:
    """Only what is stored is answered with 201 (requirement 110)."""
    monkeypatch.setattr(timely_answers, "REFUSE_SECONDS", 0.01)
    monkeypatch.setattr(Assembly.of(app).node, "__class__", ScriptedNode)
    monkeypatch.setattr(ScriptedNode, "outcomes", {} if is_silent else {"1": FAILURE})
    answer = call(app, method, "/items/1/messages", content=b"1", headers={"Content-Type": JSON})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "overloaded"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/items/{}/messages"), ("GET", "/items/{}/messages"), ("GET", "/items/{}/members")],
)
@pytest.mark.parametrize("item_id", ["a%2Fb", "a b", "%0A", "x" * 129])
def test_an_item_that_can_be_none_is_refused(
    app: FastAPI, method: str, path: str, item_id: str
) -> None:
    """As on a socket, and not as a route that is missing (requirement 80)."""
    answer = call(app, method, path.format(item_id))

    assert (answer.status_code, answer.json()["code"]) == (403, "item_invalid")


def test_a_users_cookie_publishes_only_from_an_allowed_page() -> None:
    """A form of a foreign page can post text/plain, and the browser adds the cookie (CSRF)."""
    settings = Settings(secret=SECRET, allowed_origins=("https://app.example",), _env_file=None)
    app = create_app(settings)
    told = []
    for origin in ("https://evil.test", "https://app.example", None):
        headers = {"Content-Type": "text/plain", "Cookie": f"session={token()}"}
        headers |= {"Origin": origin} if origin else {}

        async def request(headers: dict[str, str] = headers) -> httpx.Response:
            transport = httpx.ASGITransport(app)
            client = httpx.AsyncClient(transport=transport, base_url="http://test")
            async with app.router.lifespan_context(app), client:
                return await client.post("/items/1/messages", content=b"x", headers=headers)

        told.append(asyncio.run(request()).status_code)

    assert told == [403, 201, 403]
