"""Public items: who has no credential may subscribe to them, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.security import APIKeyCookie, APIKeyQuery, OAuth2PasswordBearer

from itemwire import Itemwire, Rights, create_app
from itemwire.testing import Clock, LiveServer, live_server
from itemwire.testing.servers import live_application, settings_for
from itemwire_auth import Action, CurrentPrincipal, Grant, authorize_item
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

INTERVAL: Final = 300
FILE: Final = """
["news:{name}"]
anonymous = true
retain = true

["order:{number}"]
"""


@dataclass
class User:
    """A user as an application has them."""

    id: str


def member(
    cookie: Annotated[str | None, Depends(APIKeyCookie(name="sid", auto_error=False))],
    token: Annotated[str | None, Depends(OAuth2PasswordBearer("login", auto_error=False))],
    key: Annotated[str | None, Depends(APIKeyQuery(name="key", auto_error=False))],
    accept_language: Annotated[str | None, Header()] = None,
    strict: Annotated[str | None, Header()] = None,
) -> User | None:
    """Find the user: nobody for a cookie that is over, and no one but users for tokens."""
    if token is not None and token != "good":
        raise HTTPException(401)
    if strict is not None or accept_language == "strict":
        raise HTTPException(401)
    found = key or token or (cookie if cookie == "alice" else None)
    return User(found) if found else None


@pytest.fixture(scope="module")
def clock() -> Clock:
    """Give a clock that the test moves."""
    return Clock()


@pytest.fixture(scope="module")
def host(clock: Clock) -> Iterator[LiveServer]:
    """Run an application with users of its own, and public and other items."""
    settings = settings_of(
        secret=None,
        max_subject_connections=1,
        max_address_connections=3,
        throttle_exempt=(),
        slow_after_refusals=0,
        stop_after_refusals=0,
    )
    live = Itemwire(user=member, settings=settings, clock=clock, recheck_interval=INTERVAL)
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("news:{name}", anonymous=True)
    async def news(name: str) -> Rights:
        assert name
        return Rights("subscribe", "publish", "history", "presence")

    @news.message("ask")
    async def ask() -> str:
        return "answered"

    @live.channel("order:{number}")
    async def order(number: int) -> Rights:
        assert number
        return Rights("subscribe", "publish")

    @app.post("/tick")
    async def tick() -> None:
        live._running_node().tick()

    with live_application(app) as server:
        yield server


def test_subscribes_and_hears(host: LiveServer) -> None:
    """As nobody: without a subject."""
    with (
        host.client("/live/items/news:a/ws") as reader,
        host.client("/live/items/news:a/ws?key=bob") as writer,
    ):
        welcome = reader.welcome()
        writer.welcome()
        writer.publish("hello")
        heard = reader.message()

    assert (welcome["can"], welcome["subject"], welcome["expires_at"]) == (["subscribe"], "", None)
    assert (heard["data"], heard["sender"]) == ("hello", "bob")


@pytest.mark.parametrize(
    "request_",
    [("publish", {"data": 1}), ("history", {}), ("members", {}), ("request", {"name": "ask"})],
    ids=lambda one: one[0],
)
def test_may_do_nothing_else(host: LiveServer, request_: tuple[str, dict[str, Any]]) -> None:
    """What a user of the application may."""
    kind, fields = request_
    with host.client("/live/items/news:b/ws") as nobody:
        nobody.welcome()
        refused = nobody.ask(kind, **fields)
    with host.client("/live/items/news:b/ws?key=bob") as user:
        user.welcome()
        taken = user.ask(kind, **fields)

    assert (refused["type"], refused["code"]) == ("error", "scope_missing")
    assert taken["type"] == "reply"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "items/news:c/messages"),
        ("POST", "items/news:c/messages"),
        ("GET", "items/news:c/members"),
        ("POST", "items/news:c/requests/ask"),
        ("POST", "messages"),
        ("POST", "auth/tickets"),
        ("GET", "items/order:1/events"),
    ],
)
def test_needs_a_credential_everywhere_else_over_http(
    host: LiveServer, method: str, path: str
) -> None:
    """The item being public changes nothing there."""
    answer = httpx.request(method, f"{host.url}/live/{path}", json={"messages": []})

    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_missing")


@pytest.mark.parametrize("path", ["items/order:1/ws", "ws/echo", "items/else/ws"])
def test_needs_a_credential_on_every_other_socket(host: LiveServer, path: str) -> None:
    """And is told so in words that a browser can read."""
    refusal = host.refusal(f"/live/{path}")

    assert (refusal.code, refusal.reason) == (1008, "credentials_missing")


def test_joins_public_items_on_a_socket_of_many(host: LiveServer) -> None:
    """Others are refused one by one."""
    with host.client("/live/ws") as many:
        many.send('{"type": "join", "item": "news:d", "ref": 1}')
        welcome = many.welcome()
        refused = many.ask("join", item="order:1")

    assert (welcome["item"], welcome["can"]) == ("news:d", ["subscribe"])
    assert (refused["type"], refused["code"]) == ("error", "credentials_missing")


def test_streams_events_of_a_public_item(host: LiveServer) -> None:
    """An EventSource without a credential."""
    with httpx.stream("GET", f"{host.url}/live/items/news:e/events", timeout=10) as stream:
        lines = stream.iter_lines()
        first = next(line for line in lines if line.startswith("data:"))

    assert json.loads(first.removeprefix("data:"))["can"] == ["subscribe"]


@pytest.mark.parametrize(
    ("query", "headers", "reason"),
    [
        pytest.param("", {"Cookie": "sid=over"}, None, id="a cookie that names nobody"),
        pytest.param("", {"Accept-Language": "strict"}, None, id="refused without a credential"),
        pytest.param("", {"Strict": "1"}, "credentials_invalid", id="refused by a plain header"),
        pytest.param("", {"Origin": "https://other.example"}, None, id="a foreign page"),
        pytest.param(
            "", {"Origin": "https://other.example", "Cookie": "sid=alice"}, None, id="and a cookie"
        ),
        pytest.param("", {"Authorization": "Bearer bad"}, "credentials_invalid", id="bad token"),
    ],
)
def test_whoever_is_nobody_to_the_application_may_subscribe(
    host: LiveServer, query: str, headers: dict[str, str], reason: str | None
) -> None:
    """Whoever the application refuses by name may not."""
    path = f"/live/items/news:f/ws{query}"
    if reason is None:
        with host.client(path, headers=headers) as reader:
            assert reader.welcome()["subject"] == ""
    else:
        assert host.refusal(path, headers=headers).reason == reason


def test_nobody_is_a_member(host: LiveServer) -> None:
    """Others are not told of thousands of readers, and no address is shown to them."""
    with host.client("/live/items/news:g/ws?key=bob") as user:
        user.welcome()
        with host.client("/live/items/news:g/ws") as nobody:
            nobody.welcome()
        user.publish("after")
        kinds = [user.envelope()["type"]]
        page = user.ask("members")

    assert kinds == ["message"]
    assert (page["count"], [one["subject"] for one in page["members"]]) == (1, ["bob"])


def test_counts_for_its_address_and_not_for_one_subject(host: LiveServer) -> None:
    """A subject may have one socket here, and an address three."""
    path, here = "/live/items/news:h/ws", {"X-Forwarded-For": "198.51.100.7"}
    with (
        host.client(path, headers=here) as one,
        host.client(path, headers=here) as two,
        host.client(path, headers=here) as three,
    ):
        for client in (one, two, three):
            client.welcome()
        refusal = host.refusal(path, headers=here)
        with host.client(path, headers={"X-Forwarded-For": "198.51.100.8"}) as elsewhere:
            elsewhere.welcome()

    assert refusal.reason == "connection_limit"


def test_stays_when_it_is_asked_about_again(host: LiveServer, clock: Clock) -> None:
    """It is still nobody, and the item still public."""
    with host.client("/live/items/news:i/ws") as one, host.client("/live/ws") as many:
        one.welcome()
        many.send('{"type": "join", "item": "news:i"}')
        many.welcome()
        clock.advance(INTERVAL + 1)
        httpx.post(f"{host.url}/tick")
        answers = [client.ask("ping")["type"] for client in (one, many)]

    assert answers == ["pong", "pong"]


def test_a_login_takes_another_connection(host: LiveServer) -> None:
    """A refresh renews a caller, and this one is none."""
    with host.client("/live/items/news:j/ws") as nobody:
        nobody.welcome()
        answer = nobody.ask("refresh", token="good")

    assert (answer["type"], answer["code"]) == ("error", "credentials_invalid")


@pytest.fixture(scope="module")
def tokens() -> TokenFactory:
    """Make tokens."""
    return TokenFactory(signing_key_from_secret(new_secret()))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a file with a public channel."""
    path = tmp_path_factory.mktemp("rules") / "channels.toml"
    path.write_text(FILE)
    return path


def test_the_server_alone_has_public_items_too(file: Path, tokens: TokenFactory) -> None:
    """By its file; tokens decide about everything else, and a bad one is no better than none."""
    bearer = {"Authorization": f"Bearer {tokens.good()}"}
    with live_server(settings_for(tokens, channels_file=file)) as server:
        url = f"{server.url}/items/news:a/messages"
        assert httpx.post(url, json="first", headers=bearer).status_code == 201
        with server.client("/items/news:a/ws") as reader:
            welcome, kept = reader.welcome(), reader.message()
        with server.client("/items/order:1/ws", headers=bearer) as user:
            assert user.welcome()["can"] != ["subscribe"]
        refusals = [
            server.refusal("/items/order:1/ws").reason,
            server.refusal(f"/items/news:a/ws?token={tokens.good()}x").reason,
            server.refusal("/items/%20/ws").reason,
        ]

    assert (welcome["subject"], kept["data"]) == ("", "first")
    assert refusals == ["credentials_missing", "credentials_invalid", "credentials_missing"]


def test_what_an_own_rule_grants_nobody_is_no_more(file: Path, tokens: TokenFactory) -> None:
    """An application's own `authorize_item` may not have thought of callers without a subject."""
    app = create_app(settings_for(tokens, channels_file=file))
    asked: list[str] = []

    async def everything(item_id: str, principal: CurrentPrincipal) -> Grant:
        asked.append(item_id)
        return Grant(principal, item_id, frozenset(Action))

    app.dependency_overrides[authorize_item] = everything
    with live_application(app) as server:
        with server.client("/items/news:a/ws") as reader:
            welcome = reader.welcome()
        refusal = server.refusal("/items/order:1/ws")

    assert welcome["can"] == ["subscribe"]
    assert (refusal.reason, asked) == ("credentials_missing", ["news:a"])


def test_nobody_comes_in_where_nothing_is_public(tokens: TokenFactory) -> None:
    """Not even to join nothing."""
    with live_server(settings_for(tokens)) as server:
        reasons = [server.refusal(path).reason for path in ("/ws", "/items/news:a/ws")]

    assert reasons == ["credentials_missing"] * 2
