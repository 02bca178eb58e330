"""What a host's user dependency may return and raise, and what becomes of it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocketException
from fastapi.security import OAuth2PasswordBearer
from starlette.exceptions import HTTPException as StarletteHTTPException

from itemwire import Itemwire, Rights
from itemwire.authorization import asking, deadline
from itemwire.testing import Clock, Ended, LiveServer
from itemwire.testing.servers import live_application
from itemwire_auth.errors import Forbidden, Unavailable
from itemwire_auth.principal import NO_EXPIRY, Principal
from itemwire_auth.rights import ScopeSet
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

CLOCK: Final = Clock()
NOW: Final = int(CLOCK())
ITEM: Final = "/live/items/order:7"


@dataclass
class User:
    """A user with whatever id and expiry."""

    id: object
    expires_at: object = None


async def hang() -> None:
    """Never decide."""
    await asyncio.Event().wait()


def raising(error: BaseException) -> Callable[[], Any]:
    """Return what raises an error."""

    def fail() -> None:
        raise error

    return fail


ID: Final = UUID("12345678123456781234567812345678")

ACCEPTED: Final[dict[str, tuple[object, str, int]]] = {
    "number": (User(7), "7", NO_EXPIRY),
    "zero": (User(0), "0", NO_EXPIRY),
    "uuid": (User(ID), str(ID), NO_EXPIRY),
    "mapping": ({"id": "alice", "expires_at": NOW + 60}, "alice", NOW + 60),
    "name": (User("Jörg 7"), "Jörg 7", NO_EXPIRY),
    "float": (User(7, NOW + 60.9), "7", NOW + 60),
    "aware": (User(7, datetime.fromtimestamp(NOW + 60, UTC)), "7", NOW + 60),
    "last": (User(7, datetime.max.replace(tzinfo=UTC)), "7", NO_EXPIRY),
    "principal": (Principal("me", "bob", ScopeSet(), NOW + 60), "bob", NOW + 60),
}

REFUSED: Final[dict[str, tuple[object, tuple[int, str], int]]] = {
    "none": (None, (1008, "credentials_invalid"), 401),
    "past": (User(7, NOW - 1), (1008, "credentials_invalid"), 401),
    "past_date": (
        User(7, datetime.fromtimestamp(NOW, UTC) - timedelta(1)),
        (1008, "credentials_invalid"),
        401,
    ),
    "past_principal": (Principal(None, "x", ScopeSet(), NOW), (1008, "credentials_invalid"), 401),
    "unsaved": (User(None), (1011, "internal"), 500),
    "empty": (User(""), (1011, "internal"), 500),
    "bytes": (User(b"7"), (1011, "internal"), 500),
    "truth": (User(True), (1011, "internal"), 500),
    "address": (User(object()), (1011, "internal"), 500),
    "line": (User("a\nb"), (1011, "internal"), 500),
    "surrogate": (User("\ud800"), (1011, "internal"), 500),
    "no_user": ("alice", (1011, "internal"), 500),
    "naive": (User(7, datetime(2030, 1, 1)), (1011, "internal"), 500),  # noqa: DTZ001 - that is it
    "milliseconds": (User(7, NOW * 1000), (1011, "internal"), 500),
    "nan": (User(7, float("nan")), (1011, "internal"), 500),
    "text": (User(7, "2030-01-01"), (1011, "internal"), 500),
    "http_401": (raising(HTTPException(401)), (1008, "credentials_invalid"), 401),
    "starlette_401": (raising(StarletteHTTPException(401)), (1008, "credentials_invalid"), 401),
    "http_403": (raising(HTTPException(403)), (1008, "forbidden"), 403),
    "http_404": (raising(HTTPException(404)), (1008, "forbidden"), 404),
    "http_503": (raising(HTTPException(503)), (1013, "overloaded"), 503),
    "socket": (raising(WebSocketException(1008)), (1008, "credentials_invalid"), 401),
    "socket_word": (raising(WebSocketException(1008, "banned")), (1008, "banned"), 403),
    "auth": (raising(Forbidden("no")), (1008, "forbidden"), 403),
    "away": (raising(Unavailable("no")), (1013, "overloaded"), 503),
    "fault": (raising(KeyError("x")), (1011, "internal"), 500),
    "cancelled": (raising(asyncio.CancelledError()), (1011, "internal"), 500),
    "late": (hang, (1013, "overloaded"), 503),
}


async def current_user(token: Annotated[str, Depends(OAuth2PasswordBearer("login"))]) -> object:
    """Return, or raise, what the token names."""
    found = (ACCEPTED | REFUSED)[token][0]
    if not callable(found):
        return found
    return await found() if asyncio.iscoroutinefunction(found) else found()


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Give a running host; its dependencies have a moment to decide."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deadline, "DECISION_SECONDS", 1.0)
        patch.setattr(asking, "DECISION_SECONDS", 1.0)
        app = FastAPI()
        live = Itemwire(user=current_user, settings=settings_of(secret=None), clock=CLOCK)
        app.include_router(live.router, prefix="/live")

        @live.channel("order:{number}")
        async def order(number: int) -> Rights:
            return Rights("subscribe", "history")

        @live.channel("news:{number}")
        async def news(number: int) -> Rights:
            return Rights("subscribe")

        with live_application(app) as running:
            yield running


@pytest.mark.parametrize("name", list(ACCEPTED))
def test_takes_what_names_a_caller(server: LiveServer, name: str) -> None:
    """The id becomes the subject, always in the same words, and the socket ends when it says."""
    _, subject, expires_at = ACCEPTED[name]

    with server.client(f"{ITEM}/ws?token={name}") as client:
        welcome = client.welcome()

    assert (welcome["subject"], welcome["expires_at"] or NO_EXPIRY) == (subject, expires_at)


@pytest.mark.parametrize("name", list(REFUSED))
def test_refuses_everybody_else(server: LiveServer, name: str) -> None:
    """With a reason on a socket and a status over HTTP, whatever the host does."""
    _, told, status = REFUSED[name]

    refusal = server.refusal(f"{ITEM}/ws?token={name}")
    answer = httpx.get(f"{server.url}{ITEM}/messages?token={name}")

    assert (refusal.code, refusal.reason) == told
    assert answer.status_code == status


OWN: Final = {"Authorization": "Bearer number"}
PAGE: Final = "https://page.example"


def ticket(server: LiveServer, **bound: str) -> str:
    """Get a ticket of a user, perhaps for one item or one page alone."""
    answer = httpx.post(f"{server.url}/live/auth/tickets", headers=OWN, json=bound)
    assert answer.status_code == 200, answer.text
    given: str = answer.json()["ticket"]
    return given


@pytest.mark.parametrize(
    ("bound", "origin", "told"),
    [
        pytest.param({}, None, "7", id="for-any-item"),
        pytest.param({"item": "order:7"}, None, "7", id="for-this-item"),
        pytest.param({"item": "order:8"}, None, "ticket_invalid", id="for-another-item"),
        pytest.param({"origin": PAGE}, PAGE, "7", id="for-this-page"),
        pytest.param({"origin": PAGE}, "https://evil.example", "ticket_invalid", id="elsewhere"),
    ],
)
def test_a_ticket_opens_what_it_is_for(
    server: LiveServer, bound: dict[str, str], origin: str | None, told: str
) -> None:
    """Its owner may have bound it to an item, or to the origin of a page."""
    headers = {} if origin is None else {"Origin": origin}
    path = f"{ITEM}/ws?ticket={ticket(server, **bound)}"

    try:
        with server.client(path, headers=headers) as client:
            outcome = client.welcome()["subject"]
    except Ended as ended:
        outcome = ended.refusal.reason
    assert outcome == told


@pytest.mark.parametrize(
    ("other", "told"), [("number", (None, 200)), ("zero", ("credentials_invalid", 401))]
)
def test_two_sources_have_to_hold_one_token(
    server: LiveServer, other: str, told: tuple[str | None, int]
) -> None:
    """Of two it would be a guess which of them is meant."""
    url = f"{server.url}{ITEM}/messages?token={other}"
    answer = httpx.get(url, headers=OWN)

    assert (answer.json().get("code"), answer.status_code) == told


def test_what_a_rule_does_not_allow_a_user_is_forbidden(server: LiveServer) -> None:
    """And not `scope_missing`: no other token would help."""
    refusal = server.refusal("/live/items/news:7/ws?token=number&replay=1")
    with server.client(f"{ITEM}/ws?token=number&replay=1") as client:
        welcome = client.welcome()

    assert (refusal.code, refusal.reason) == (1008, "forbidden")
    assert welcome["subject"] == "7"
