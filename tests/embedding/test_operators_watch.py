"""Operators whom the application names watch the figures from its own pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from fastapi import HTTPException

from itemwire.serving.server import Protocols
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.embedding.conftest import ANN, BEN, CLASSES, ask, database_in, settings_of
from tests.embedding.places import by_router
from tests.embedding.shop.live import make_live
from tests.embedding.shop.main import create_shop
from tests.embedding.shop.users import CurrentUser

WATCH: Final = "/live/admin/ops/ws"
ANNS_COOKIE: Final = {"Cookie": "shop_login=anns-login"}
EVIL: Final = {"Origin": "https://evil.example"}


async def operator(user: CurrentUser) -> object:
    """Return the user, if it is Ann."""
    if user.id != 1:
        raise HTTPException(403)
    return user


@pytest.fixture(scope="module", params=CLASSES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """Run the shop, with our protocol classes and with uvicorn's."""
    protocols: Protocols = CLASSES[request.param]
    live = make_live(settings_of(throttle_exempt=("127.0.0.0/8",)), operator)
    app = by_router(create_shop(database_in(tmp_path_factory.mktemp("shop"))), live)
    with live_application(app, protocols=protocols) as running:
        yield running


def own_page(server: LiveServer, headers: dict[str, str]) -> dict[str, str]:
    """Give the headers of a page of the application itself."""
    return {**headers, "Origin": server.url}


def ticket_of(server: LiveServer, headers: dict[str, str]) -> str:
    """Make a ticket."""
    answer = ask("POST", f"{server.url}/live/auth/tickets", headers=headers, json={})
    return str(answer.json()["ticket"])


def first_frame(server: LiveServer, path: str, headers: dict[str, str]) -> dict[str, Any]:
    """Watch, and give the first frame."""
    with server.connect(path, headers=headers) as socket:
        frame: dict[str, Any] = json.loads(socket.recv(timeout=30))
        return frame


def test_an_operator_watches_by_a_cookie_a_header_or_a_ticket(server: LiveServer) -> None:
    """A page can send the first and the last of them."""
    path = f"{WATCH}?ticket={ticket_of(server, ANN)}"
    frames = [
        first_frame(server, WATCH, own_page(server, ANNS_COOKIE)),
        first_frame(server, WATCH, ANN),
        first_frame(server, path, own_page(server, {})),
    ]

    assert {one["type"] for one in frames} == {"hour"}
    assert server.refusal(path).reason == "ticket_invalid"  # it was spent


def test_another_user_does_not(server: LiveServer) -> None:
    """Whatever it presents, and not from a foreign page either."""
    ticket = f"{WATCH}?ticket={ticket_of(server, own_page(server, BEN))}"

    assert server.refusal(WATCH, headers=own_page(server, BEN)).reason == "forbidden"
    assert server.refusal(ticket).reason == "forbidden"
    assert server.refusal(WATCH).reason == "credentials_missing"
    assert server.refusal(WATCH, headers=ANNS_COOKIE | EVIL).reason == "origin_denied"
