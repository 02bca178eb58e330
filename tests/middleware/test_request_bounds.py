"""Requests with too many parts on a server that bounds nothing itself: uvicorn's own classes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from itemwire.fastpath.extension import BOUNDED, EXTENSION
from itemwire.middleware.request_bounds import RequestBounds
from itemwire.serving.server import server_of
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from itemwire.testing.servers import STOCK, live_server
from tests.conftest import SECRET
from tests.scenarios.clients import PATIENCE, token

pytestmark = pytest.mark.server

REFUSED = Refusal(101, 1008, "query_invalid")
FIELDS = "&".join(f"field{n}=x" for n in range(20))
COOKIES = "; ".join(f"name{n}=x" for n in range(60))


@pytest.fixture(scope="module")
def stock() -> Iterator[LiveServer]:
    """Run the application on the classes of uvicorn."""
    settings = Settings(secret=SECRET, _env_file=None)
    with live_server(settings, server_of(settings, STOCK)) as running:
        yield running


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        pytest.param("a&" * 1000, {}, id="fields"),
        pytest.param("%41" * 1100, {}, id="escapes"),
        pytest.param("", {"Cookie": "a=b;" * 300}, id="cookies"),
        pytest.param("", {"X-Forwarded-For": "192.0.2.7," * 40}, id="addresses"),
    ],
)
def test_refuses_a_handshake_with_too_much(
    stock: LiveServer, query: str, headers: dict[str, str]
) -> None:
    """In the form that was configured, whatever its credential (requirement 122)."""
    headers = {**headers, "Authorization": f"Bearer {token()}"}

    assert stock.refusal(f"/items/42/ws?{query}", headers=headers) == REFUSED


@pytest.mark.parametrize(
    ("target", "headers", "status", "code"),
    [
        ("/health/live?" + "a&" * 1000, {}, 400, "query_invalid"),
        ("/health/live", {"Cookie": "a=b;" * 300}, 431, "request_header_fields_too_large"),
        ("/items/42/messages?" + "%41" * 1100, {}, 400, "query_invalid"),
    ],
)
def test_refuses_a_request_with_too_much(
    stock: LiveServer, target: str, headers: dict[str, str], status: int, code: str
) -> None:
    """As a problem, before a route parses it."""
    answer = httpx.get(stock.url + target, headers=headers, timeout=PATIENCE)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["cache-control"] == "no-store"


def test_passes_on_what_an_honest_client_sends(stock: LiveServer) -> None:
    """The twin, over both."""
    headers = {"Cookie": COOKIES, "Authorization": f"Bearer {token()}"}
    read = httpx.get(f"{stock.url}/items/42/messages?{FIELDS}", headers=headers, timeout=PATIENCE)

    assert read.status_code == 200
    with stock.connect(f"/items/42/ws?{FIELDS}", headers=headers):
        pass


@pytest.mark.parametrize(("counted", "passes"), [({}, False), ({BOUNDED: True}, True)])
def test_counts_again_unless_our_own_class_has_counted(
    counted: dict[str, bool], passes: bool
) -> None:
    """Another server may offer the extension for sockets, and bound nothing."""
    reached: list[Scope] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        assert message["type"] == "websocket.close"

    scope: Scope = {
        "type": "websocket",
        "path": "/items/42/ws",
        "query_string": b"a&" * 1000,
        "headers": [],
        "extensions": {EXTENSION: {}},
        **counted,
    }
    asyncio.run(_run(RequestBounds(application), scope, receive, send))

    assert bool(reached) is passes


async def _run(app: RequestBounds, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)
