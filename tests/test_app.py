"""Channels inside an application of somebody else, with users and rules of its own."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer

from itemwire import Itemwire, Rights
from itemwire.serving.server import FASTPATH, Protocols
from itemwire.testing import LiveServer
from itemwire.testing.servers import STOCK, live_application
from itemwire_auth.errors import KeyProblem
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

CLASSES: Final[dict[str, Protocols]] = {"fastpath": FASTPATH, "stock": STOCK}


@dataclass
class User:
    """A user as an application has them."""

    id: int


@dataclass
class Database:
    """A session of the host's database, which counts how often it was opened and closed."""

    opened: int = 0
    closed: int = 0


database = Database()


async def session() -> AsyncGenerator[Database]:
    """Open the database for one request."""
    database.opened += 1
    yield database
    database.closed += 1


SessionDep = Annotated[Database, Depends(session)]


async def current_user(
    request: Request,
    token: Annotated[str, Depends(OAuth2PasswordBearer("login"))],
    _session: SessionDep,
) -> User:
    """Find the user as many applications do: written for HTTP alone."""
    assert request.method in {"GET", "POST"}
    if not token.startswith("user-"):
        raise HTTPException(401)
    return User(int(token.removeprefix("user-")))


CurrentUser = Annotated[User, Depends(current_user)]


@dataclass
class Shop:
    """A running host application, and the channels in it."""

    app: FastAPI
    server: LiveServer

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return self.server.url + path


@pytest.fixture(params=list(CLASSES), scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Give a running application with one channel, as a user of the library writes it."""
    live = Itemwire(user=current_user, settings=settings_of(secret=None))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[dict[str, object]]:
        yield {"own": 1}

    app = FastAPI(lifespan=lifespan)
    app.include_router(live.router, prefix="/live")

    @live.channel("order:{number}")
    async def order(number: int, user: CurrentUser, _session: SessionDep) -> Rights:
        if number == 404:
            raise HTTPException(404)
        return Rights("subscribe", "history", publish=user.id == 1)

    @app.post("/orders/{number}/ship")
    async def ship(number: int, request: Request) -> dict[str, object]:
        position = await order.publish({"status": "shipped"}, number=number)
        return {"offset": position.offset, "own": request.state.own}

    with live_application(app, protocols=CLASSES[request.param]) as server:
        yield Shop(app, server)


@pytest.fixture
def shop(running: Shop) -> Iterator[Shop]:
    """Give the application, without the overrides of the test before."""
    yield running
    running.app.dependency_overrides.clear()


def test_its_users_and_rules_decide(shop: Shop) -> None:
    """What its route publishes reaches those that its rule lets in."""
    with shop.server.client("/live/items/order:7/ws?token=user-1") as client:
        welcome = client.welcome()
        shipped = httpx.post(shop.url("/orders/7/ship")).json()
        message = client.message()

    assert (welcome["subject"], welcome["can"]) == ("1", ["subscribe", "publish", "history"])
    assert shipped == {"offset": 1, "own": 1}
    assert (message["data"], message["sender"]) == ({"status": "shipped"}, None)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("order:7/ws", "credentials_missing"),
        ("order:7/ws?token=stranger", "credentials_invalid"),
        ("order:seven/ws?token=user-1", "item_invalid"),
        ("order:404/ws?token=user-1", "forbidden"),
    ],
)
def test_refuses_with_a_reason(shop: Shop, path: str, reason: str) -> None:
    """The exceptions of the host's dependencies become close reasons."""
    refusal = shop.server.refusal(f"/live/items/{path}")

    assert (refusal.code, refusal.reason) == (1008, reason)


def test_a_session_is_closed_before_the_socket_waits(shop: Shop) -> None:
    """One session for all dependencies of a handshake: an idle socket pins none."""
    before = (database.opened, database.closed)

    with shop.server.client("/live/items/order:8/ws?token=user-2") as client:
        client.welcome()
        assert (database.opened, database.closed) == (before[0] + 1, before[1] + 1)


def test_the_overrides_of_its_tests_hold(shop: Shop) -> None:
    """`app.dependency_overrides`, the way in which FastAPI's users test."""
    shop.app.dependency_overrides[current_user] = lambda: User(9)

    with shop.server.client("/live/items/order:9/ws") as client:
        assert client.welcome()["subject"] == "9"


def test_joins_and_refreshes_by_the_same_rules(shop: Shop) -> None:
    """On an open socket, as at a handshake."""
    with shop.server.client("/live/ws?token=user-2") as client:
        answers = [
            client.ask("join", item="order:7"),
            client.ask("join", item="order:404"),
            client.ask("refresh", token="user-2"),
            client.ask("refresh", token="user-1"),
        ]

    assert [answer.get("code", answer["type"]) for answer in answers] == [
        "welcome",
        "forbidden",
        "reply",
        "credentials_invalid",
    ]


def test_a_foreign_page_needs_a_token(shop: Shop) -> None:
    """What a browser adds by itself does not speak for its user there (CWE-1385)."""
    own = {"origin": shop.server.url, "cookie": "login=x"}
    foreign = {"origin": "https://evil.example", "cookie": "login=x"}
    url = shop.url("/live/items/order:7/messages")

    assert httpx.get(url, headers=own).json()["code"] == "credentials_missing"
    assert httpx.get(url, headers=foreign).json()["code"] == "origin_denied"
    assert httpx.get(url + "?token=user-1", headers=foreign).status_code == 200


def test_refuses_to_publish_before_it_runs() -> None:
    """With a sentence that says what is missing."""
    live = Itemwire(user=current_user, settings=settings_of(secret=None))

    with pytest.raises(RuntimeError, match="include `router`"):
        live.publish("order:7", 1).send(None)


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("unknown", "deny"),
        ("unknown", "Forbid"),
        ("unknown", None),
        ("unknown", ""),
        ("recheck_interval", -1),
        ("recheck_interval", 0.01),
        ("recheck_interval", float("nan")),
        ("recheck_interval", float("inf")),
        ("recheck_interval", "30"),
        ("recheck_interval", True),
        ("recheck_interval", None),
    ],
)
def test_refuses_an_option_that_would_let_in_whom_it_should_keep_out(
    option: str, wrong: object
) -> None:
    """A word that it does not know, or an interval that never comes, is no rule at all."""
    options: dict[str, Any] = {option: wrong}

    with pytest.raises(ValueError, match=option):
        Itemwire(user=current_user, settings=settings_of(secret=None), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"unknown": "policy"},
        {"unknown": "forbid"},
        {"recheck_interval": 0},
        {"recheck_interval": 1},
        {"recheck_interval": 30.5},
    ],
    ids=str,
)
def test_takes_the_options_that_are_right(options: dict[str, Any]) -> None:
    """The words and the intervals that the page describes."""
    assert Itemwire(user=current_user, settings=settings_of(secret=None), **options).router.routes


def test_says_that_a_user_or_a_key_is_missing() -> None:
    """Both are shown: most applications have users, and no key."""
    with pytest.raises(KeyProblem, match=r"Itemwire\(user=current_user\).*ITEMWIRE_SECRET"):
        Itemwire(settings=settings_of(secret=None))

    assert Itemwire(settings=settings_of()).router.routes
