"""WebSocket routes put together once: they do what FastAPI's own do, whatever is overridden."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Final

import pytest
from fastapi import APIRouter, Depends, Query, WebSocket, WebSocketException
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection
from starlette.types import Message

from itemwire.application import ChannelApplication
from itemwire.authorization import asking
from itemwire.authorization.routes import add_sockets, socket_route_of
from itemwire.dependencies import Replay, SubscribeGrant, start_of
from itemwire.middleware.refusals import Refusals
from itemwire.responses.rejections import install_rejections
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.dependencies import (
    SHORT_CUTS,
    CurrentPrincipal,
    ItemId,
    Seams,
    authorize_item,
    current_principal,
    permitted,
    permitted_at_once,
)
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action
from itemwire_auth.state import install_state
from itemwire_auth.testing import TokenFactory, signing_key
from tests.auth.conftest import NOW, verifier_of

FACTORY: Final = TokenFactory(signing_key("HS256"), clock=lambda: NOW)
TOKEN: Final = FACTORY.good()

INSTALL: Final[dict[str, Callable[[ChannelApplication, APIRouter], None]]] = {
    "fastapi": lambda app, router: app.include_router(router),
    "whole": lambda app, router: add_sockets(app, router, {}),
    "short": lambda app, router: add_sockets(app, router, SHORT_CUTS),
}

router = APIRouter()


@router.websocket("/items/{item_id:path}/ws")
async def item(websocket: WebSocket, grant: SubscribeGrant, replay: Replay = 0) -> None:
    """Tell what was worked out."""
    start_of(websocket, grant, None, replay)
    told = (grant.item_id, grant.principal.subject, *sorted(grant.can), str(replay))
    await websocket.accept()
    await websocket.send_text(" ".join(told))


def create() -> ChannelApplication:
    """Make an application without a route."""
    app = ChannelApplication()
    install_state(app, Authenticator(verifier_of(FACTORY), OriginPolicy([])))
    install_rejections(app)
    app.add_middleware(Refusals, form="close")
    return app


@pytest.fixture(params=INSTALL)
def app(request: pytest.FixtureRequest) -> ChannelApplication:
    """Give an application for each kind of route: FastAPI's own is the measure of the others."""
    app = create()
    INSTALL[request.param](app, router)
    return app


def connect(app: ChannelApplication, query: str = f"token={TOKEN}", item_id: str = "42") -> str:
    """Tell what a client is told: the text, or the reason it is refused for."""
    sent: list[Message] = []
    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": f"/items/{item_id}/ws",
        "query_string": query.encode(),
        "headers": [],
        "subprotocols": [],
    }

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent[0]["type"] == "websocket.accept"
    return str(sent[-1].get("text", sent[-1].get("reason")))


ALL: Final = "history presence publish subscribe"


@pytest.mark.parametrize(
    ("query", "item_id", "told"),
    [
        pytest.param(f"token={TOKEN}&replay=2", "42", f"42 alice {ALL} 2", id="in"),
        pytest.param("", "42", "credentials_missing", id="stranger"),
        pytest.param("token=x", "42", "credentials_invalid", id="bad token"),
        pytest.param("replay=x", "a b", "credentials_missing", id="stranger with faults"),
        pytest.param(f"token={TOKEN}&replay=x", "a b", "item_invalid", id="no item"),
        pytest.param(f"token={TOKEN}&replay=x", "42", "query_invalid", id="no number"),
        pytest.param(f"token={TOKEN}&replay=-1", "42", "query_invalid", id="below zero"),
        pytest.param(f"token={FACTORY.good(scope='')}", "42", "scope_missing", id="no right"),
        pytest.param(
            f"token={FACTORY.good(scope='items:7:subscribe')}&replay=x",
            "42",
            "forbidden",
            id="elsewhere",
        ),
        pytest.param(
            f"token={FACTORY.good(scope='items:subscribe')}&replay=1",
            "42",
            "scope_missing",
            id="no history",
        ),
    ],
)
def test_asks_the_same_in_the_same_order(
    query: str, item_id: str, told: str, app: ChannelApplication
) -> None:
    """Who has several faults learns of the same one, and a stranger of none but his own."""
    assert connect(app, query, item_id) == told


def test_asks_who_is_calling_once(
    app: ChannelApplication, caplog: pytest.LogCaptureFixture
) -> None:
    """Each decision is logged once."""
    with caplog.at_level(logging.INFO, "itemwire.auth"):
        connect(app)

    assert len(caplog.messages) == 1


async def anybody() -> Principal:
    """Let in who presents nothing."""
    return Principal(None, "anybody", ScopeSet.of_claims("items:subscribe"), NOW + 300)


async def reader(item_id: str, principal: CurrentPrincipal) -> Grant:
    """Let everybody read."""
    return Grant(principal, item_id, frozenset({Action.SUBSCRIBE}))


def test_an_application_overrides_what_it_likes(app: ChannelApplication) -> None:
    """Before the first handshake and after it, one and then another, and back."""
    overrides = app.dependency_overrides

    overrides[authorize_item] = reader
    assert connect(app) == "42 alice subscribe 0"
    overrides[current_principal] = anybody
    assert connect(app, "") == "42 anybody subscribe 0"
    assert connect(app, "", "a b") == "item_invalid"
    del overrides[authorize_item]
    assert connect(app, "") == "42 anybody subscribe 0"
    app.dependency_overrides = {}
    assert connect(app, "") == "credentials_missing"
    assert connect(app) == f"42 alice {ALL} 0"


def test_an_override_of_something_else_changes_nothing(app: ChannelApplication) -> None:
    """The application's other routes have dependencies of their own."""
    app.dependency_overrides[reader] = anybody

    assert connect(app) == f"42 alice {ALL} 0"


def test_an_override_may_depend_on_what_routes_depend_on(app: ChannelApplication) -> None:
    """On what is overridden itself, on the scopes that are asked for, on the query, on `yield`."""
    closed: list[str] = []

    async def database() -> AsyncIterator[str]:
        yield "never asked: it is overridden"

    async def tests_database() -> AsyncIterator[str]:
        try:
            yield "asked"
        finally:
            closed.append("database")

    async def own(
        principal: CurrentPrincipal,
        required: SecurityScopes,
        asked: Annotated[str, Depends(database)],
        team: Annotated[str, Query()],
    ) -> Grant:
        item_id = "-".join([asked, team, *required.scopes])
        return Grant(principal, item_id, frozenset({Action.SUBSCRIBE}))

    app.dependency_overrides |= {
        authorize_item: own,
        database: tests_database,
        current_principal: anybody,
    }

    named = "asked-red-subscribe"

    assert connect(app, "team=red", named) == f"{named} anybody subscribe 0"
    assert connect(app, "team=red") == "forbidden"  # the grant is for another item
    assert connect(app, "") == "query_invalid"
    assert closed == ["database"] * 3


def test_a_short_cut_is_taken_where_nothing_is_overridden() -> None:
    """It knows nothing of an application's own rules, so it must not stand in for them."""

    async def straight(connection: HTTPConnection) -> Grant:
        return Grant(await anybody(), "short", frozenset({Action.SUBSCRIBE}))

    app = create()
    add_sockets(app, router, {permitted: lambda _seams: straight})

    assert connect(app, "") == "short anybody subscribe 0"
    app.dependency_overrides[authorize_item] = reader
    assert connect(app) == "42 alice subscribe 0"


async def guest(_connection: HTTPConnection) -> Principal:
    """Let everybody in, as a seam: called with what `current_principal` is called with."""
    return Principal(None, "guest", ScopeSet.of_claims("items:subscribe"), NOW + 300)


async def by_rule(
    _connection: HTTPConnection, item_id: ItemId, principal: CurrentPrincipal
) -> Grant:
    """Let everybody listen and publish, as a seam in place of `authorize_item`."""
    return Grant(principal, item_id, frozenset({Action.SUBSCRIBE, Action.PUBLISH}))


@pytest.mark.parametrize("install", INSTALL)
@pytest.mark.parametrize(
    ("seams", "told"),
    [
        ({}, f"alice {ALL}"),
        ({current_principal: guest}, "guest subscribe"),
        ({authorize_item: by_rule}, "alice publish subscribe"),
        ({current_principal: guest, authorize_item: by_rule}, "guest publish subscribe"),
    ],
)
def test_what_the_application_itself_puts_in_place_is_called_on_every_way(
    install: str, seams: dict[Callable[..., Any], Callable[..., Any]], told: str
) -> None:
    """The shortcut calls the seams in the order in which FastAPI would."""
    app = create()
    app.seams = seams
    INSTALL[install](app, router)

    assert connect(app) == f"42 {told} 0"
    app.dependency_overrides[authorize_item] = reader  # it wins over a seam
    assert connect(app) == f"42 {told.split(maxsplit=1)[0]} subscribe 0"


def test_a_short_cut_is_taken_where_the_application_itself_alone_has_put_something() -> None:
    """And it is made anew with the seams; what a host overrides, it knows nothing of."""
    made: list[Seams] = []

    def shorten(seams: Seams) -> Callable[..., Any]:
        made.append(seams)
        return permitted_at_once(seams)

    app = create()
    app.seams = {authorize_item: by_rule}
    add_sockets(app, router, {permitted: shorten})

    assert connect(app) == "42 alice publish subscribe 0"
    assert made[-1] == {authorize_item: by_rule}
    count = len(made)
    app.dependency_overrides[current_principal] = anybody
    assert connect(app).startswith("42 anybody")
    assert len(made) == count


async def closed_today() -> None:
    """Refuse everybody."""
    raise WebSocketException(3000, "closed today")


def test_routes_keep_what_their_router_gives_them() -> None:
    """Its prefix and its own dependencies hold, as with `include_router`."""
    shop = APIRouter(prefix="/items", dependencies=[Depends(closed_today)])
    shop.add_api_websocket_route("/{item_id}/ws", item)
    app = create()

    add_sockets(app, shop, SHORT_CUTS)

    assert connect(app) == "closed today"
    assert str(app.url_path_for("item", item_id="7")) == "/items/7/ws"


@pytest.mark.parametrize("install", INSTALL)
def test_keeps_the_name_and_the_dependencies_that_a_route_was_given(install: str) -> None:
    """A link is made by the name; what the route was declared with is asked, too."""
    asked: list[str] = []
    named = APIRouter()

    async def first() -> None:
        asked.append("first")

    @named.websocket("/items/{item_id}/ws", name="an-item", dependencies=[Depends(first)])
    async def channel(websocket: WebSocket, item_id: str) -> None:
        await websocket.accept()
        await websocket.send_text(item_id)

    app = create()
    INSTALL[install](app, named)

    assert app.url_path_for("an-item", item_id="42") == "/items/42/ws"
    assert connect(app) == "42"
    assert asked == ["first"]


def test_finds_the_route_of_an_endpoint_among_others() -> None:
    """Each its own; an endpoint that is on no such route has none."""

    async def other(websocket: WebSocket) -> None:
        """Do nothing."""

    two, app = APIRouter(), create()
    two.add_api_websocket_route("/other", other)
    add_sockets(app, two, {})
    with pytest.raises(LookupError, match="item"):
        socket_route_of(app, item)
    add_sockets(app, router, {})

    assert socket_route_of(app, other).path == "/other"
    assert socket_route_of(app, item).path == "/items/{item_id:path}/ws"


@pytest.mark.parametrize(("scheme", "seen"), [("ws", "http"), ("wss", "https")])
def test_a_handshake_has_the_address_of_the_request_that_it_is(scheme: str, seen: str) -> None:
    """A host that tells apart what came over TLS finds the scheme that its other routes have."""
    scope = {"type": "websocket", "scheme": scheme, "path": "/ws", "query_string": b"a=1"}
    handshake = HTTPConnection(scope | {"headers": [(b"host", b"shop.test")]})

    assert str(asking._view_of(handshake, None, None).url) == f"{seen}://shop.test/ws?a=1"
