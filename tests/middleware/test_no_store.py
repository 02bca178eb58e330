"""Answers to requests with a credential in the query are not cached or passed on."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from itemwire.main import create_app
from itemwire.middleware.no_store import NoStore
from itemwire.settings import Settings
from tests.conftest import SECRET


def answer(query: str) -> httpx.Headers:
    """Ask a page that caches may keep, with a query."""

    async def page(_request: object) -> PlainTextResponse:
        return PlainTextResponse("page", headers={"Cache-Control": "max-age=60"})

    app = NoStore(Starlette(routes=[Route("/", page)]))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(f"/?{query}")

    return asyncio.run(ask()).headers


@pytest.mark.parametrize(
    "query", ["token=a", "a=b&ticket=c", "tok%65n=a", "token", "token=a&token=b"]
)
def test_an_answer_to_a_credential_in_the_query_is_kept_nowhere(query: str) -> None:
    """RFC 6750 section 2.3: nor is the URL told to the next site (requirement 26)."""
    headers = answer(query)

    assert headers.get_list("cache-control") == ["no-store"]
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("query", ["", "replay=1", "tokens=a", "a=token=b"])
def test_any_other_answer_is_left_as_it_is(query: str) -> None:
    """The twin: what holds no secret may be cached."""
    headers = answer(query)

    assert headers["cache-control"] == "max-age=60"
    assert "referrer-policy" not in headers


async def knock(query: bytes, *, denies: bool, first: Message) -> list[Message]:
    """Let an application answer a handshake with a message, and give what is sent."""
    sent: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(first)
        await send({"type": "websocket.close", "code": 1000})

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "websocket", "query_string": query}
    if denies:
        scope["extensions"] = {"websocket.http.response": {}}
    await NoStore(app)(scope, receive, send)
    return sent


CLOSE = {"type": "websocket.close", "code": 1000}
ACCEPT = {"type": "websocket.accept", "headers": []}


def test_a_denied_handshake_with_a_credential_is_kept_nowhere() -> None:
    """A bare denial, of an unknown path say, gets the two headers as well (requirement 26)."""
    start, body, *_ = asyncio.run(knock(b"ticket=a", denies=True, first=dict(CLOSE)))

    assert (start["status"], body["body"]) == (403, b"")
    assert (b"cache-control", b"no-store") in start["headers"]
    assert (b"referrer-policy", b"no-referrer") in start["headers"]


@pytest.mark.parametrize(
    ("query", "denies", "first"),
    [
        pytest.param(b"replay=1", True, CLOSE, id="no-credential"),
        pytest.param(b"token=a", False, CLOSE, id="a-server-that-cannot-deny"),
        pytest.param(b"token=a", True, ACCEPT, id="let-in"),
    ],
)
def test_any_other_handshake_is_left_as_it_is(query: bytes, denies: bool, first: Message) -> None:
    """The twin: who is let in is closed by its own close frame."""
    sent = asyncio.run(knock(query, denies=denies, first=dict(first)))

    assert sent == [first, CLOSE]


@pytest.mark.parametrize("query", ["token=a", ""])
def test_a_route_that_crashes_answers_privately(query: str) -> None:
    """The server's last word is outside of all middleware; it tells nothing (requirement 26)."""
    app = create_app(Settings(secret=SECRET, _env_file=None))

    @app.get("/crash")
    async def crash() -> None:
        raise LookupError("a secret detail")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(f"/crash?{query}")

    response = asyncio.run(ask())

    assert response.status_code == 500
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.json()["code"] == "internal"
    assert "secret" not in response.text
