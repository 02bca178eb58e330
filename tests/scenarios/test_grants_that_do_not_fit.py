"""A grant for another item, for another caller or without the action is refused everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import httpx
import pytest

from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth.dependencies import CurrentPrincipal, authorize_item
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action
from tests.conftest import SECRET
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    closed,
    item_path,
    json_client,
    many_client,
    token,
)
from tests.scenarios.conftest import Serve

ITEM: Final = "42"
GOOD: Final = "ok"


@dataclass
class Shop:
    """An application whose `authorize_item` makes the grants that a test asks for."""

    server: LiveServer
    altered: Callable[[Grant], Grant]


def fits(grant: Grant) -> Grant:
    """Leave a grant as it is."""
    return grant


def for_another_item(grant: Grant) -> Grant:
    """Answer for another item, as an override with a mistaken lookup does."""
    return replace(grant, item_id="43")


def for_another_caller(grant: Grant) -> Grant:
    """Answer for another caller, as an override with a shared cache does."""
    return replace(grant, principal=replace(grant.principal, subject="mallory"))


def for_another_issuer(grant: Grant) -> Grant:
    """Answer for a caller of the same name at another issuer."""
    return replace(grant, principal=replace(grant.principal, issuer="https://other.example"))


@pytest.fixture(scope="module")
def shop(serve: Serve) -> Iterator[Shop]:
    """Run an application with an override, once for each protocol."""
    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)

    async def own(item_id: str, principal: CurrentPrincipal) -> Grant:
        return running.altered(Grant(principal, item_id, frozenset(Action)))

    app.dependency_overrides[authorize_item] = own
    with serve(settings, app) as server:
        running = Shop(server, fits)
        yield running


def bearer() -> dict[str, str]:
    """Return the header of a token with every right."""
    return {"Authorization": f"Bearer {token()}"}


def over_http(shop: Shop, method: str, path: str, **sent: object) -> str:
    """Make a request; return the code of its refusal, or `ok`."""
    url = shop.server.url + path
    answer = httpx.request(method, url, headers=bearer(), timeout=PATIENCE, **sent)  # type: ignore[arg-type]
    return GOOD if answer.is_success else str(answer.json()["code"])


def publish(shop: Shop) -> str:
    """Publish over HTTP."""
    return over_http(shop, "POST", f"/items/{ITEM}/messages", json=1)


def history(shop: Shop) -> str:
    """Read the history over HTTP."""
    return over_http(shop, "GET", f"/items/{ITEM}/messages")


def members(shop: Shop) -> str:
    """List the members over HTTP."""
    return over_http(shop, "GET", f"/items/{ITEM}/members")


def batch(shop: Shop) -> str:
    """Publish one message in a batch."""
    body = {"messages": [{"item": ITEM, "data": 1}]}
    url = f"{shop.server.url}/messages"
    answer = httpx.post(url, headers=bearer(), json=body, timeout=PATIENCE)
    return str(answer.json()["results"][0].get("code", GOOD))


def events(shop: Shop) -> str:
    """Open a stream of server-sent events."""
    url = f"{shop.server.url}/items/{ITEM}/events"
    with httpx.stream("GET", url, headers=bearer(), timeout=PATIENCE) as answer:
        if answer.is_success:
            return GOOD
        answer.read()
        return str(answer.json()["code"])


def socket(shop: Shop) -> str:
    """Open a socket of one item."""
    path = item_path(ITEM, {"token": token()})
    with shop.server.connect(path, subprotocols=(JSON,)) as connection:
        try:
            first = connection.recv(timeout=PATIENCE)
        except Exception:  # noqa: BLE001 - it was refused
            return closed(connection)[1]
        return GOOD if '"welcome"' in str(first) else str(first)


def join(shop: Shop) -> str:
    """Join the item on a socket of many items."""
    with many_client(shop.server, token()) as many:
        answer = many.ask("join", item=ITEM, ref=1)
        return GOOD if answer["type"] == "welcome" else str(answer["code"])


def refresh(shop: Shop) -> str:
    """Refresh a socket of one item that was opened with a grant that fits."""
    altered, shop.altered = shop.altered, fits
    with json_client(shop.server, ITEM) as client:
        shop.altered = altered
        client.connection.send(f'{{"type":"refresh","ref":1,"token":"{token()}"}}')
        answer = client.read()
        if answer["type"] == "closing":
            return closed(client.connection)[1]
        return GOOD if answer["type"] == "reply" else str(answer["code"])


def refresh_of_many(shop: Shop) -> str:
    """Refresh a socket of many items that has joined with a grant that fits."""
    altered, shop.altered = shop.altered, fits
    with many_client(shop.server, token()) as many:
        assert many.ask("join", item=ITEM, ref=1)["type"] == "welcome"
        shop.altered = altered
        answer = many.ask("refresh", token=token(), ref=2)
        return GOOD if answer["type"] == "reply" else str(answer["reason"])


# How a grant is used, and the action that each way asks for.
WAYS: Final[dict[str, tuple[Callable[[Shop], str], Action]]] = {
    "socket": (socket, Action.SUBSCRIBE),
    "join": (join, Action.SUBSCRIBE),
    "refresh": (refresh, Action.SUBSCRIBE),
    "refresh-of-many": (refresh_of_many, Action.SUBSCRIBE),
    "events": (events, Action.SUBSCRIBE),
    "publish": (publish, Action.PUBLISH),
    "batch": (batch, Action.PUBLISH),
    "history": (history, Action.HISTORY),
    "members": (members, Action.PRESENCE),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("misfit", [for_another_item, for_another_caller, for_another_issuer])
def test_a_grant_for_something_else_is_refused(
    shop: Shop, way: str, misfit: Callable[[Grant], Grant]
) -> None:
    """It says nothing about what is asked here."""
    use, _ = WAYS[way]
    shop.altered = misfit

    assert use(shop) == "forbidden"


@pytest.mark.parametrize("way", WAYS)
def test_a_grant_without_the_action_is_refused(shop: Shop, way: str) -> None:
    """And with that action alone it is enough."""
    use, action = WAYS[way]
    shop.altered = lambda grant: replace(grant, can=frozenset(Action) - {action})
    lacking = use(shop)
    shop.altered = lambda grant: replace(grant, can=frozenset({action}))
    alone = use(shop)

    assert (lacking, alone) == ("forbidden", GOOD)


@pytest.mark.parametrize("way", WAYS)
def test_a_grant_that_fits_is_accepted(shop: Shop, way: str) -> None:
    """The accepted twin of every refusal above."""
    use, _ = WAYS[way]
    shop.altered = fits

    assert use(shop) == GOOD
