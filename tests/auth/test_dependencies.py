"""Tests of dependencies.py in a small application that has nothing else of Itemwire."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Security, WebSocket
from starlette.requests import HTTPConnection
from starlette.types import Message
from typing_extensions import override

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.dependencies import (
    GUARDS,
    VERIFIED,
    CurrentPrincipal,
    administrator,
    authorize_item,
    current_principal,
    from_own_page,
    open_to_strangers,
    permitted,
    scraper,
    sent_bearer,
    watching_administrator,
    without_ticket,
)
from itemwire_auth.errors import Forbidden, MissingCredential
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.policies import Policy
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.refusals import refusal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action
from itemwire_auth.state import install_state
from itemwire_auth.testing import BAD_TOKENS, TokenFactory
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.handshakes import handshake

Subscriber = Annotated[Grant, Security(permitted, scopes=["subscribe"])]
Writer = Annotated[Grant, Security(permitted, scopes=["subscribe", "publish"])]
Anyone = Annotated[Grant, Depends(permitted)]


@pytest.fixture
def app(verifier: TokenVerifier) -> FastAPI:
    """Return an application with one route of each kind."""
    app = FastAPI()
    install_state(app, Authenticator(verifier, OriginPolicy([])))

    @app.websocket("/items/{item_id}/ws")
    async def item_channel(websocket: WebSocket, grant: Subscriber) -> None:
        await websocket.accept()
        await websocket.send_text(" ".join([grant.principal.subject, *sorted(grant.can)]))
        await websocket.close()

    @app.get("/items/{item_id}")
    async def item(grant: Subscriber) -> list[str]:
        return sorted(grant.can)

    @app.get("/items/{item_id}/edit")
    async def edit(grant: Writer) -> str:
        return grant.item_id

    @app.get("/items/{item_id}/any")
    async def anything(grant: Anyone) -> str:
        return grant.item_id

    @app.get("/me")
    async def me(principal: CurrentPrincipal) -> str:
        return principal.subject

    return app


def call(app: FastAPI, path: str, token: str | None = None, kind: str = "http") -> list[Message]:
    """Send one request or handshake through the application, as a server would."""
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    scope = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "ws" if kind == "websocket" else "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "subprotocols": [],
        "client": ("192.0.2.7", 50000),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect" if kind == "websocket" else "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def get(app: FastAPI, path: str, token: str | None = None) -> tuple[int, Any, dict[bytes, bytes]]:
    """Return the status, the body and the headers of a response."""
    start, body = call(app, path, token)
    return start["status"], json.loads(body["body"]), dict(start["headers"])


def connect(app: FastAPI, token: str | None = None) -> list[tuple[str, object]]:
    """Return what a WebSocket client would see of a handshake."""
    messages = call(app, "/items/42/ws", token, "websocket")
    return [(message["type"], message.get("reason") or message.get("text")) for message in messages]


def test_lets_a_caller_in(app: FastAPI, factory: TokenFactory) -> None:
    """One dependency serves HTTP and WebSocket routes alike."""
    token = factory.good(scope="items:subscribe", items={"42": ["publish"]})

    assert connect(app, token)[1] == ("websocket.send", "alice publish subscribe")
    assert get(app, "/items/42", token)[:2] == (200, ["publish", "subscribe"])
    assert get(app, "/items/42/edit", token)[:2] == (200, "42")
    assert get(app, "/me", token)[:2] == (200, "alice")


@pytest.mark.parametrize(
    ("token", "code", "status"),
    [
        pytest.param(None, "credentials_missing", 401, id="none"),
        pytest.param("garbage", "credentials_invalid", 401, id="garbage"),
    ],
)
def test_refuses_a_stranger(token: str | None, code: str, status: int, app: FastAPI) -> None:
    """1008 with the code on a WebSocket, 401 with the scheme that would be welcome on HTTP."""
    got, body, headers = get(app, "/me", token)

    assert (got, body) == (status, {"detail": code})
    assert headers[b"www-authenticate"] == b"Bearer"
    assert connect(app, token) == [("websocket.close", code)]


def test_the_client_learns_no_cause(app: FastAPI, factory: TokenFactory) -> None:
    """Every fault of a token is answered alike: no oracle (requirement 40)."""
    tokens = [
        BAD_TOKENS[name](factory) for name in ("expired", "wrong_signature", "crit", "no_sub")
    ]

    answers = {json.dumps(get(app, "/me", token)[:2]) for token in tokens}
    closes = {str(connect(app, token)) for token in tokens}

    assert len(answers) == len(closes) == 1


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        pytest.param("items:7:subscribe", "forbidden", id="elsewhere"),
        pytest.param("items:publish", "scope_missing", id="nowhere"),
        pytest.param("", "scope_missing", id="no-right"),
        pytest.param("admin", "scope_missing", id="admin-is-no-right"),
    ],
)
def test_refuses_who_may_not(scope: str, code: str, app: FastAPI, factory: TokenFactory) -> None:
    """403, no challenge: another item, or a token with more rights, would help."""
    token = factory.good(scope=scope)

    status, body, headers = get(app, "/items/42", token)

    assert (status, body) == (403, {"detail": code})
    assert b"www-authenticate" not in headers
    assert connect(app, token) == [("websocket.close", code)]
    assert get(app, "/me", token)[0] == 200


@pytest.mark.parametrize(
    "item_id", ["a b", "%00", "..", "x" * 129], ids=["blank", "nul", "dots", "long"]
)
def test_an_id_that_can_be_none_reaches_no_override(
    item_id: str, app: FastAPI, factory: TokenFactory
) -> None:
    """An application's database is asked about real ids only, and strangers learn nothing."""
    asked: list[str] = []

    async def own_rule(item_id: str, principal: CurrentPrincipal) -> Grant:
        asked.append(item_id)
        return Grant(principal, item_id, frozenset(Action))

    app.dependency_overrides[authorize_item] = own_rule

    stranger = get(app, f"/items/{item_id}")
    known = get(app, f"/items/{item_id}", factory.good())
    good = get(app, "/items/42", factory.good())

    assert stranger[:2] == (401, {"detail": "credentials_missing"})
    assert known[:2] == (403, {"detail": "item_invalid"})
    assert good[0] == 200
    assert asked == ["42"]


def test_asks_for_every_action_of_a_route(app: FastAPI, factory: TokenFactory) -> None:
    """A route with two scopes needs both."""
    token = factory.good(scope="items:subscribe")

    assert get(app, "/items/42", token)[0] == 200
    assert get(app, "/items/42/edit", token)[:2] == (403, {"detail": "scope_missing"})


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        pytest.param("items:history", 200, id="some-right"),
        pytest.param("items:7:history", 403, id="elsewhere"),
        pytest.param("", 403, id="none"),
    ],
)
def test_a_route_that_asks_nothing_still_needs_a_right(
    scope: str, status: int, app: FastAPI, factory: TokenFactory
) -> None:
    """A forgotten list of scopes does not open a route to everybody."""
    assert get(app, "/items/42/any", factory.good(scope=scope))[0] == status


def granting(*can: Action) -> Callable[..., object]:
    """Make an override that has its own idea of the caller's rights."""

    async def override(item_id: str, principal: CurrentPrincipal) -> Grant:
        return Grant(principal, item_id, frozenset(can))

    return override


def test_an_application_decides_by_its_own_rules(app: FastAPI, factory: TokenFactory) -> None:
    """The override is the authority: it grants what the token does not, and the reverse."""
    app.dependency_overrides[authorize_item] = granting(Action.SUBSCRIBE)
    assert get(app, "/items/42", factory.good(scope=""))[:2] == (200, ["subscribe"])

    app.dependency_overrides[authorize_item] = granting()
    assert get(app, "/items/42", factory.good())[0] == 403
    assert connect(app, factory.good()) == [("websocket.close", "forbidden")]


def test_an_override_cannot_forget_the_check(app: FastAPI, factory: TokenFactory) -> None:
    """Whatever it returns, the route's own actions are compared; strangers do not reach it."""
    app.dependency_overrides[authorize_item] = granting(Action.HISTORY)

    assert get(app, "/items/42", factory.good())[0] == 403
    assert get(app, "/items/42", None)[0] == 401


class Broken(Policy):
    """A policy whose database is away."""

    @override
    async def authorize(self, principal: Principal, item_id: str) -> frozenset[Action]:
        raise ConnectionError(principal.subject, item_id)


class Banning(Policy):
    """A policy that refuses with a reason of its own."""

    @override
    async def authorize(self, principal: Principal, item_id: str) -> frozenset[Action]:
        raise Forbidden(f"{principal.subject} is banned from {item_id}")


def test_a_policy_that_fails_lets_nobody_in(
    app: FastAPI, factory: TokenFactory, verifier: TokenVerifier
) -> None:
    """An exception of any kind denies (requirement 65)."""
    install_state(app, Authenticator(verifier, OriginPolicy([])), Broken())

    with pytest.raises(ConnectionError):
        connect(app, factory.good())


def test_a_policy_may_refuse(app: FastAPI, factory: TokenFactory, verifier: TokenVerifier) -> None:
    """Its reason's code reaches the client, its message the log."""
    install_state(app, Authenticator(verifier, OriginPolicy([])), Banning())

    assert connect(app, factory.good()) == [("websocket.close", "forbidden")]
    assert get(app, "/items/42", factory.good())[:2] == (403, {"detail": "forbidden"})


def test_a_websocket_refusal_is_a_policy_violation() -> None:
    """RFC 6455 section 7.4.1: 1008, with the stable code as reason."""
    told = refusal(handshake(), MissingCredential("none"))

    assert (vars(told)["code"], vars(told)["reason"]) == (1008, "credentials_missing")


def test_logs_each_decision_once(
    app: FastAPI, factory: TokenFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """In, or out with the cause, and no credential (requirements 20, 104)."""
    caplog.set_level(logging.DEBUG)
    good, bad = factory.good(scope="items:publish"), BAD_TOKENS["expired"](factory)

    get(app, "/items/42", good)
    get(app, "/items/42", bad)

    lines = [line for line in caplog.messages if line.startswith(("authenticated", "refused"))]
    assert [line.split(" client")[0] for line in lines] == [
        "authenticated issuer='https://issuer.test' subject='alice' source=authorization",
        "refused reason=scope_missing check=None source=None",
        "refused reason=credentials_invalid check=expiry source=authorization",
    ]
    assert "'alice' is not granted subscribe here" in lines[1]
    assert good not in caplog.text
    assert bad not in caplog.text


def connected(app: FastAPI, connection: HTTPConnection) -> HTTPConnection:
    """Return a connection to the application."""
    connection.scope["app"] = app
    return connection


def refused_as(steps: Coroutine[Any, Any, object]) -> str:
    """Return the code that a dependency refuses with."""
    with pytest.raises(HTTPException) as refused:
        asyncio.run(steps)
    return refused.value.detail


def test_a_caller_that_the_server_has_verified_is_not_verified_again(app: FastAPI) -> None:
    """As for one more item of a socket, or of a batch: the token may be spent by then."""
    known = Principal(None, "alice", ScopeSet(), 0)
    connection = connected(app, handshake(method="GET"))
    connection.scope[VERIFIED] = known

    assert asyncio.run(current_principal(connection)) is known
    del connection.scope[VERIFIED]
    assert refused_as(current_principal(connection)) == "credentials_missing"


def test_only_the_authorization_header_begins_a_session(
    app: FastAPI, factory: TokenFactory
) -> None:
    """Its token is what the cookie will hold; the cookie of before is not even read."""
    token = factory.good()
    headers = [("Authorization", f"Bearer {token}"), ("Cookie", "session=old")]
    bearer = asyncio.run(sent_bearer(connected(app, handshake(headers=headers, method="POST"))))

    assert (bearer.token, bearer.principal.subject) == (token, "alice")
    assert token not in repr(bearer)
    cookie = handshake(headers=[("Cookie", f"session={token}")], method="POST")
    assert refused_as(sent_bearer(connected(app, cookie))) == "credentials_missing"


def test_a_ticket_is_no_credential_where_tickets_are_made(app: FastAPI) -> None:
    """Else one ticket would do for ever, renewed by itself."""
    with_one = connected(app, handshake("ticket=abc", method="POST"))

    assert refused_as(without_ticket(with_one)) == "ticket_invalid"
    asyncio.run(without_ticket(connected(app, handshake(method="POST"))))


def test_a_foreign_page_gets_no_session(app: FastAPI) -> None:
    """Whatever credential it presents; our own page, and what is no browser, does."""
    foreign = handshake(headers=[("Origin", "https://evil.test")], method="POST")

    assert refused_as(from_own_page(connected(app, foreign))) == "origin_denied"
    asyncio.run(from_own_page(connected(app, handshake(method="POST"))))


def test_who_may_administer_or_scrape_is_asked_of_the_authenticator(
    app: FastAPI, factory: TokenFactory
) -> None:
    """Without the word `admin` nobody administers; without a metrics token nobody scrapes."""

    def bearer(token: str) -> HTTPConnection:
        headers = [("Authorization", f"Bearer {token}")]
        return connected(app, handshake(headers=headers, method="GET"))

    admin = factory.good(scope="admin", sub="root")

    assert asyncio.run(administrator(bearer(admin))).subject == "root"
    assert refused_as(administrator(bearer(factory.good()))) == "scope_missing"
    assert refused_as(scraper(bearer(admin))) == "forbidden"


def test_a_route_without_one_of_these_is_reported_as_open() -> None:
    """The list is what start-up goes by: one left out would warn of a route that is guarded."""
    assert {
        current_principal,
        sent_bearer,
        administrator,
        watching_administrator,
        scraper,
        open_to_strangers,
    } == GUARDS
    assert asyncio.run(open_to_strangers()) is None
