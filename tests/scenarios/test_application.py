"""An application with rules of its own: what its clients see of what its code does."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket, WebSocketException

from itemwire.authorization import deadline as deciding
from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from itemwire_auth import (
    Action,
    CurrentPrincipal,
    Forbidden,
    Grant,
    Principal,
    ScopeMissing,
    authorize_item,
    current_principal,
)
from itemwire_auth.rights import ScopeSet
from tests.conftest import SECRET
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    closed,
    item_path,
    json_client,
    many_client,
    plain_client,
    token,
)
from tests.scenarios.conftest import Serve

# What an override raises, and how a client sees it: code, reason, and status where denied.
RAISED: dict[str, tuple[Exception, int, str, int]] = {
    "http_403": (HTTPException(403, "not yours: sql"), 1008, "forbidden", 403),
    "http_404": (HTTPException(404, "no such item"), 1008, "forbidden", 403),
    "http_401": (HTTPException(401), 1008, "credentials_invalid", 401),
    "http_429": (HTTPException(429), 1008, "rate_limited", 429),
    "http_503": (HTTPException(503), 1013, "overloaded", 503),
    "http_500": (HTTPException(500, "/srv/app.py line 3"), 1011, "internal", 500),
    "own": (WebSocketException(3001, "own_reason"), 3001, "own_reason", 403),
    "ours": (WebSocketException(1008, "scope_missing"), 1008, "scope_missing", 403),
    "long": (WebSocketException(3002, "é" * 200), 3002, "é" * 61, 403),
    "unsendable": (WebSocketException(1006, "gone"), 1011, "internal", 500),
    "out_of_range": (WebSocketException(99999, "gone"), 1011, "internal", 500),
    "forbidden": (Forbidden("alice is on no list"), 1008, "forbidden", 403),
    "scope": (ScopeMissing("for operators"), 1008, "scope_missing", 403),
    "value": (ValueError("secret detail"), 1011, "internal", 500),
    "key": (KeyError("secret detail"), 1011, "internal", 500),
    "timeout": (TimeoutError("database"), 1011, "internal", 500),
}


class Shop:
    """An application of its own: who may do what is in its database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lent = 0
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("create table right (subject text, item text, action text)")
            rows = [("alice", "7", action) for action in Action] + [("bob", "7", "publish")]
            database.executemany("insert into right values (?, ?, ?)", rows)

    async def database(self) -> AsyncIterator[sqlite3.Connection]:
        """Lend a connection, as an application's `yield` dependency does."""
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            self.lent += 1
            try:
                yield database
            finally:
                self.lent -= 1

    def build(self, settings: Settings) -> FastAPI:
        """Put its rules in the place of the default ones."""

        async def from_database(
            item_id: str,
            principal: CurrentPrincipal,
            database: Annotated[sqlite3.Connection, Depends(self.database)],
        ) -> Grant:
            if item_id in RAISED:
                raise RAISED[item_id][0]
            question = "select action from right where subject = ? and item = ?"
            rows = database.execute(question, (principal.subject, item_id)).fetchall()
            return Grant(principal, item_id, frozenset(Action(action) for (action,) in rows))

        app = create_app(settings)
        app.dependency_overrides[authorize_item] = from_database
        app.add_api_websocket_route("/after/{what}", _fail_after_accept)
        return app


async def _fail_after_accept(websocket: WebSocket, what: str) -> None:
    await websocket.accept()
    await websocket.send_text("accepted")
    raise RAISED[what][0]


@pytest.fixture(scope="module", params=["close", "http"])
def shop(
    request: pytest.FixtureRequest, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LiveServer, Shop, bool]]:
    """Run the application in each refusal mode; the last says whether it denies by HTTP."""
    shop = Shop(tmp_path_factory.mktemp("shop") / "rights.db")
    settings = Settings(secret=SECRET, refusal=request.param, _env_file=None)
    with serve(settings, shop.build(settings)) as running:
        yield running, shop, request.param == "http"


Running = tuple[LiveServer, Shop, bool]


def test_the_applications_database_decides(shop: Running) -> None:
    """The token says who it is; what that one may do is the application's business."""
    server, *_ = shop
    with (
        json_client(server, "7", "alice", scope="") as alice,
        plain_client(server, "7", "alice", scope="") as tab,
    ):
        alice.ask("publish", data="hello")

        assert alice.welcome["can"] == ["subscribe", "publish", "history", "presence"]
        assert tab.recv(timeout=PATIENCE) == "hello"


@pytest.mark.parametrize(("subject", "item_id"), [("carol", "7"), ("alice", "8")])
def test_whom_the_database_does_not_know_is_refused(
    shop: Running, subject: str, item_id: str
) -> None:
    """However much the token grants: its rights were replaced, not added to."""
    server, _, denies = shop
    path = item_path(item_id, {"token": token(subject)})

    assert _told(server.refusal(path)) == _seen(1008, "forbidden", 403, denies=denies)


def test_an_override_that_forgets_the_action_grants_no_other(shop: Running) -> None:
    """Bob may publish and was let pass; the route asked for subscribe, and checks it itself."""
    server, _, denies = shop
    for scope in ("items:subscribe", ""):
        path = item_path("7", {"token": token("bob", scope)})
        # Not `scope_missing`: no other token would help.
        assert _told(server.refusal(path)) == _seen(1008, "forbidden", 403, denies=denies)


def test_the_database_is_released_before_the_socket_waits(shop: Running) -> None:
    """A thousand open sockets must not hold a thousand sessions."""
    server, application, _ = shop
    with json_client(server, "7", "alice") as alice:
        assert alice.ask("ping")["type"] == "pong"
        assert application.lent == 0


def test_the_database_decides_of_each_item_that_is_joined(shop: Running) -> None:
    """On a socket of many items too; it is released after each answer."""
    server, application, _ = shop
    with many_client(server) as many:
        denied, welcome = many.ask("join", item="8"), many.ask("join", item="7")

        assert (denied["code"], denied["temporary"]) == ("forbidden", False)
        assert welcome["can"] == ["subscribe", "publish", "history", "presence"]
        assert application.lent == 0


@pytest.mark.parametrize("raised", sorted(RAISED))
def test_what_an_override_raises_at_a_join_is_told_by_its_reason(
    shop: Running, raised: str
) -> None:
    """The socket stays, whatever it was."""
    server, *_ = shop
    with many_client(server) as many:
        error = many.ask("join", item=raised, ref=1)

        assert (error["type"], error["code"]) == ("error", RAISED[raised][2])
        assert many.ask("ping")["type"] == "pong"


def test_a_rule_that_hangs_is_given_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, item_id: str
) -> None:
    """It fails closed, in bounded time, and holds up nobody else (requirement 66)."""
    monkeypatch.setattr(deciding, "DECISION_SECONDS", 2.0)  # enough for the one that is quick
    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)
    given_up: list[str] = []

    async def hang_on(item_id: str, principal: CurrentPrincipal) -> Grant:
        try:
            if item_id == "slow":
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_up.append(item_id)
            raise
        return Grant(principal, item_id, frozenset(Action))

    app.dependency_overrides[authorize_item] = hang_on
    with serve(settings, app) as running, json_client(running, item_id) as quick:
        refusal = running.refusal(item_path("slow", {"token": token()}))

        assert (refusal.code, refusal.reason) == (1013, "overloaded")
        assert given_up == ["slow"]
        assert quick.ask("ping")["type"] == "pong"  # its own deadline went with its decision


def test_an_authentication_of_the_applications_own_sees_the_handshake(serve: Serve) -> None:
    """Each join runs the item's dependencies as if the client had connected to it."""
    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)

    async def by_a_query_of_its_own(visitor: str) -> Principal:
        return Principal(None, visitor, ScopeSet(), expires_at=4_000_000_000)

    async def everybody_may(item_id: str, principal: CurrentPrincipal) -> Grant:
        return Grant(principal, item_id, frozenset(Action))

    app.dependency_overrides[current_principal] = by_a_query_of_its_own
    app.dependency_overrides[authorize_item] = everybody_may
    with serve(settings, app) as running, many_client(running, query="visitor=vera") as many:
        assert many.ask("join", item="7")["subject"] == "vera"


@pytest.mark.parametrize("raised", sorted(RAISED))
def test_what_an_override_raises_is_told_by_code_and_reason(shop: Running, raised: str) -> None:
    """It fails closed, in words of the registry, and shows nothing of the application's own."""
    server, _, denies = shop
    _, code, reason, status = RAISED[raised]
    path = item_path(raised, {"token": token()})
    seen = _seen(code, reason, status, denies=denies)

    assert _told(server.refusal(path)) == seen
    assert _told(server.refusal(path, subprotocols=(JSON,))) == seen


def test_a_refusal_without_a_reason_is_told_by_its_code(serve: Serve) -> None:
    """As FastAPI's tutorial raises it: a browser must not see 1006 for that."""
    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)

    async def as_in_the_tutorial() -> Grant:
        raise WebSocketException(code=1008)

    app.dependency_overrides[authorize_item] = as_in_the_tutorial
    with serve(settings, app) as running:
        refusal = running.refusal(item_path("7", {"token": token()}))

    assert (refusal.status, refusal.code) == (101, 1008)


@pytest.mark.parametrize("raised", sorted(RAISED))
def test_what_is_raised_after_accept_ends_with_a_code(shop: Running, raised: str) -> None:
    """Bare FastAPI drops the connection: 1006, and the client knows nothing."""
    server, *_ = shop
    _, code, reason, _ = RAISED[raised]
    with server.connect(f"/after/{raised}") as connection:
        assert connection.recv(timeout=PATIENCE) == "accepted"
        assert closed(connection) == (code, reason)


def test_an_application_goes_on_after_what_was_raised(shop: Running) -> None:
    """One crash closes one socket (requirement 106)."""
    server, *_ = shop
    with json_client(server, "7", "alice") as alice:
        for raised in ("value", "http_500"):
            server.refusal(item_path(raised, {"token": token()}))
            with server.connect(f"/after/{raised}") as connection:
                closed(connection)

        assert alice.ask("publish", data="still here")["type"] == "reply"


def _told(refusal: Refusal) -> tuple[int, int | None, str]:
    """Sum up how a client was refused."""
    return refusal.status, refusal.code, refusal.body.decode() or refusal.reason


def _seen(code: int, reason: str, status: int, *, denies: bool) -> tuple[int, int | None, str]:
    """Tell how a client must be refused."""
    if not denies:
        return 101, code, reason
    retry = {401: "token", 429: "later", 500: "later", 503: "later"}.get(status, "never")
    return status, None, f'{{"code":{code},"reason":"{reason}","retry":"{retry}"}}'
