"""Asking an application's dependencies again gives no more than at the handshake (requirement 131).

A proxy stamps a header, a cookie or a query parameter on each handshake of a restricted caller, and
an override that finds none takes the caller for one without restrictions.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import Cookie, Depends, FastAPI, Header, Query, WebSocket
from starlette.requests import HTTPConnection

from itemwire.assembly import Assembly
from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth.dependencies import CurrentPrincipal, authorize_item
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action
from tests.conftest import SECRET
from tests.scenarios.clients import JSON, PATIENCE, item_path, token
from tests.scenarios.conftest import Serve
from tests.scenarios.nodes import until

LESS: Final = frozenset({Action.SUBSCRIBE})
ALL: Final = frozenset(Action)


async def by_header(x_restricted: Annotated[str | None, Header()] = None) -> str | None:
    """Read a header that a proxy stamps."""
    return x_restricted


async def by_cookie(restricted: Annotated[str | None, Cookie()] = None) -> str | None:
    """Read a cookie."""
    return restricted


async def by_query(restricted: Annotated[str | None, Query()] = None) -> str | None:
    """Read a query parameter."""
    return restricted


async def by_connection(connection: HTTPConnection) -> str | None:
    """Read the header of the connection itself."""
    return connection.headers.get("x-restricted")


Stamp = Callable[..., Any]

STAMPED: Final[dict[str, tuple[Stamp, dict[str, str], str]]] = {
    "header": (by_header, {"X-Restricted": "1"}, ""),
    "cookie": (by_cookie, {"Cookie": "a=b; restricted=1"}, ""),
    "query": (by_query, {}, "&restricted=1"),
    "connection": (by_connection, {"X-Restricted": "1"}, ""),
}


@dataclass
class Shop:
    """A server whose override grants less where it finds a stamp."""

    app: FastAPI
    server: LiveServer
    headers: dict[str, str]
    query: str
    reads_all: bool

    def can_after_refresh(self, *, stamped: bool, scale: int = 1) -> tuple[list[str], Any]:
        """Return what a socket of one item may do at the handshake, and after a refresh."""
        path = item_path("7", {"token": token()}) + (self.query if stamped else "")
        headers = self._headers(stamped=stamped, scale=scale)
        with self.server.connect(path, headers=headers, subprotocols=(JSON,)) as connection:
            before = json.loads(connection.recv(timeout=PATIENCE))["can"]
            answer = ask(connection, "refresh", token=token())
            return before, answer.get("can", answer.get("code"))

    def can_of_many(self, *, stamped: bool, scale: int = 1) -> tuple[Any, Any, Any]:
        """Return what `/ws` may do on an item when joined, after a refresh, and joined then."""
        path = f"/ws?token={token()}" + (self.query if stamped else "")
        headers = self._headers(stamped=stamped, scale=scale)
        with self.server.connect(path, headers=headers, subprotocols=(JSON,)) as connection:
            joined = ask(connection, "join", item="7")
            refreshed = ask(connection, "refresh", token=token())
            later = ask(connection, "join", item="8")
            return (
                joined.get("can", joined.get("code")),
                refreshed.get("items", {}).get("7", refreshed.get("code")),
                later.get("can", later.get("code")),
            )

    def publishes(self, *, stamped: bool) -> tuple[int, str]:
        """Publish, alone and in a batch; return the status, and the code or `ok` of the batch."""
        query = self.query[1:] if stamped else ""
        headers = {"Authorization": f"Bearer {token()}", **self._headers(stamped=stamped)}
        body = {"messages": [{"item": "7", "data": 1}]}
        alone, batch = (
            httpx.post(f"{self.server.url}{path}?{query}", headers=headers, json=sent, timeout=20)
            for path, sent in [("/items/7/messages", 1), ("/messages", body)]
        )
        return alone.status_code, batch.json()["results"][0].get("code", "ok")

    def _headers(self, *, stamped: bool, scale: int = 1) -> dict[str, str]:
        padding = {f"X-Padding-{n}": "p" * 1000 for n in range(scale - 1)}
        return {**padding, **(self.headers if stamped else {})}


def ask(connection: Any, kind: str, **fields: object) -> Any:  # noqa: ANN401 - an envelope
    """Send a request and return its answer."""
    connection.send(json.dumps({"type": kind, "ref": kind, **fields}))
    while True:
        envelope = json.loads(connection.recv(timeout=PATIENCE))
        if envelope.get("ref") == kind:
            return envelope


@pytest.fixture(params=STAMPED)
def shop(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Shop]:
    """Run an application with one of these overrides."""
    stamp, headers, query = STAMPED[request.param]
    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)

    async def own(
        item_id: str, principal: CurrentPrincipal, restricted: Annotated[str | None, Depends(stamp)]
    ) -> Grant:
        return Grant(principal, item_id, ALL if restricted is None else LESS)

    app.dependency_overrides[authorize_item] = own
    with serve(settings, app) as server:
        yield Shop(app, server, headers, query, stamp is by_connection)


def test_a_restricted_caller_stays_restricted(shop: Shop) -> None:
    """At a refresh, at a later join, and in a batch."""
    less = ["subscribe"]

    assert shop.can_after_refresh(stamped=True) == (less, less)
    assert shop.can_of_many(stamped=True) == (less, less, less)
    assert shop.publishes(stamped=True) == (403, "forbidden")


def test_a_caller_without_restrictions_stays_so(shop: Shop) -> None:
    """The accepted twin."""
    everything = sorted(ALL)

    before, after = shop.can_after_refresh(stamped=False)
    assert (sorted(before), sorted(after)) == (everything, everything)
    assert [sorted(can) for can in shop.can_of_many(stamped=False)] == [everything] * 3
    assert shop.publishes(stamped=False) == (201, "ok")


def test_more_than_is_kept_refuses_and_widens_nothing(shop: Shop) -> None:
    """Where the connection itself is read, all of it would have to be kept."""
    one, many = (
        shop.can_after_refresh(stamped=True, scale=7),
        shop.can_of_many(stamped=True, scale=7),
    )

    if shop.reads_all:
        assert one == (["subscribe"], "query_invalid")
        assert many == ("query_invalid",) * 3
    else:
        assert one == (["subscribe"], ["subscribe"])
        assert many == (["subscribe"],) * 3


def test_what_is_kept_is_counted_and_freed(shop: Shop) -> None:
    """By a gauge, which is at 0 once all sockets are gone."""
    counters = Assembly.of(shop.app).counters.channels
    path = item_path("7", {"token": token()}) + shop.query
    with shop.server.connect(path, headers=shop.headers, subprotocols=(JSON,)) as connection:
        connection.recv(timeout=PATIENCE)
        kept = counters.kept_handshake_bytes
    shop.can_of_many(stamped=True)
    until(lambda: counters.kept_handshake_bytes == 0)

    assert 0 < kept <= 4096


def test_a_graph_that_reads_more_than_at_the_handshake_is_not_asked(serve: Serve) -> None:
    """An override that was set later may declare what was not kept."""
    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)

    async def own(
        item_id: str,
        principal: CurrentPrincipal,
        restricted: Annotated[str | None, Depends(by_header)],
    ) -> Grant:
        return Grant(principal, item_id, ALL if restricted is None else LESS)

    with serve(settings, app) as server:
        path = item_path("7", {"token": token(scope="items:subscribe")})
        stamp = {"X-Restricted": "1"}
        with server.connect(path, headers=stamp, subprotocols=(JSON,)) as connection:
            app.dependency_overrides[authorize_item] = own
            refused = ask(connection, "refresh", token=token())
            app.dependency_overrides.clear()
            renewed = ask(connection, "refresh", token=token())

    assert refused["code"] == "query_invalid"
    assert sorted(renewed["can"]) == sorted(ALL)


def test_a_rule_that_reads_the_credential_sees_the_new_token_alone(serve: Serve) -> None:
    """In the place of the old one, whichever way it is read."""
    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)
    seen: list[tuple[str | None, str | None, str | None]] = []

    async def own(
        item_id: str,
        principal: CurrentPrincipal,
        websocket: WebSocket,
        authorization: Annotated[str | None, Header()] = None,
        session: Annotated[str | None, Cookie()] = None,
    ) -> Grant:
        seen.append((authorization, session, websocket.query_params.get("token")))
        return Grant(principal, item_id, ALL)

    app.dependency_overrides[authorize_item] = own
    old, new = token(), token(scope="items:subscribe")
    places = {"Authorization": f"Bearer {old}", "Cookie": f"session={old}"}
    with serve(settings, app) as server:
        with server.connect(item_path("7"), headers=places, subprotocols=(JSON,)) as connection:
            ask(connection, "refresh", token=new)
        with server.connect("/ws", headers=places, subprotocols=(JSON,)) as connection:
            ask(connection, "join", item="7")
            ask(connection, "refresh", token=new)
            ask(connection, "join", item="8")

    before, after = (f"Bearer {old}", old, None), (f"Bearer {new}", new, new)
    assert seen == [before, after, before, after, after]
