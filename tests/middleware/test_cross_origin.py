"""Pages of another origin read over HTTP if they are named, inside a host application too."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from itemwire import Itemwire
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.scenarios.clients import token
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

NAMED = ["https://app.example.com", "https://a.example.org"]
FOREIGN = ["https://evil.test", "https://example.org", "null", "", "https://app.example.com.evil"]
ORIGINS = ("self", "null", "https://app.example.com", "https://*.example.org")
HISTORY = "/live/items/42/messages"
TICKETS = "/live/auth/tickets"
CORS = "access-control-"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Run an application with a route of its own, and channels that pages may read."""
    live = Itemwire(settings=settings_of(allowed_origins=ORIGINS))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @app.get("/own")
    async def own() -> str:
        return "own"

    with live_application(app) as running:
        yield running


def fetch(server: LiveServer, method: str, path: str, origin: str) -> httpx.Response:
    """Make the request of a page; the body of a stream is not read."""
    headers = {"Origin": origin, "Authorization": f"Bearer {token()}"}
    with httpx.stream(method, server.url + path, headers=headers) as answer:
        return answer


def preflight(
    server: LiveServer, origin: str, *, path: str = TICKETS, **asked: str
) -> httpx.Response:
    """Ask as a browser does before it sends what no form could."""
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    headers |= {f"Access-Control-Request-{name}": value for name, value in asked.items()}
    return httpx.options(server.url + path, headers=headers)


@pytest.mark.parametrize("origin", NAMED)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", TICKETS),
        ("GET", HISTORY),
        ("GET", "/live/items/42/members"),
        ("GET", "/live/items/42/events"),
    ],
)
def test_a_named_page_reads(server: LiveServer, method: str, path: str, origin: str) -> None:
    """With its visitor's cookie, which counts from there anyway; caches keep origins apart."""
    answer = fetch(server, method, path, origin)

    assert answer.is_success
    assert answer.headers[f"{CORS}allow-origin"] == origin
    assert answer.headers[f"{CORS}allow-credentials"] == "true"
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_any_other_page_does_not(server: LiveServer, origin: str) -> None:
    """Its request is answered, for it has a token, and its browser keeps the answer from it."""
    answer = fetch(server, "GET", HISTORY, origin)

    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith(CORS)]
    assert "Origin" in answer.headers["vary"]


def test_a_named_page_reads_why_it_is_refused(server: LiveServer) -> None:
    """Without the headers it would see a network error."""
    answer = httpx.get(server.url + HISTORY, headers={"Origin": NAMED[0]})

    assert answer.json()["code"] == "credentials_missing"
    assert answer.headers[f"{CORS}allow-origin"] == NAMED[0]
    assert "Retry-After" in answer.headers[f"{CORS}expose-headers"]


def test_answers_the_preflight_of_a_named_page(server: LiveServer) -> None:
    """For the headers that the routes read."""
    asked = "authorization, content-type, idempotency-key, last-event-id"
    answer = preflight(server, NAMED[0], Headers=asked)

    assert answer.status_code == 200
    assert answer.headers[f"{CORS}allow-origin"] == NAMED[0]
    assert answer.headers[f"{CORS}allow-credentials"] == "true"
    assert "Origin" in answer.headers["vary"]


def test_refuses_the_preflight_of_any_other(server: LiveServer) -> None:
    """And of a named page that asks for more than the routes take."""
    assert preflight(server, NAMED[0], Headers="x-own").status_code == 400
    for origin in FOREIGN:
        answer = preflight(server, origin)
        assert answer.status_code == 400
        assert f"{CORS}allow-origin" not in answer.headers


def test_the_routes_of_the_host_are_its_own(server: LiveServer) -> None:
    """It decides itself who may read these."""
    answer = fetch(server, "GET", "/own", NAMED[0])

    assert answer.status_code == 200
    assert not {f"{CORS}allow-origin", "vary"} & answer.headers.keys()
    assert preflight(server, NAMED[0], path="/own").status_code == 405


def test_no_page_reads_where_none_is_named() -> None:
    """The default, `self`, needs no CORS: nothing is added to any answer."""
    app = FastAPI()
    live = Itemwire(settings=settings_of())
    app.include_router(live.router, prefix="/live")
    with live_application(app) as running:
        answer = fetch(running, "GET", HISTORY, NAMED[0])

    assert answer.status_code == 200
    assert not {f"{CORS}allow-origin", "vary"} & answer.headers.keys()
