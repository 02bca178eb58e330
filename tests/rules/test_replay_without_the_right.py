"""Who may not read history asks for a replay: told by what would help, on every way in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import httpx
import pytest
from fastapi import FastAPI, Header, HTTPException

from itemwire import Itemwire, Rights
from itemwire.serving.server import FASTPATH
from itemwire.testing import LiveServer
from itemwire.testing.servers import STOCK, live_application, settings_for
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

TOKENS: Final = TokenFactory(signing_key_from_secret(new_secret()))
GOOD: Final = TOKENS.good(scope="items:*:subscribe", exp=TOKENS.now + 86_400)
TOKEN: Final = {"Authorization": f"Bearer {GOOD}"}
USER: Final = {"X-User": "ann"}

CALLERS: Final[dict[str, tuple[str, dict[str, str], str]]] = {
    "nobody": ("users", {}, "scope_missing"),
    "nobody_where_tokens_are": ("tokens", {}, "scope_missing"),
    "token": ("tokens", TOKEN, "scope_missing"),
    "user": ("users", USER, "forbidden"),  # a rule has decided: no other credential would help
}


def user(x_user: Annotated[str, Header()]) -> dict[str, str]:
    """Find the user."""
    if x_user != "ann":
        raise HTTPException(401)
    return {"id": x_user}


@pytest.fixture(scope="module", params=["fastpath", "stock"])
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """Run an application with a public item of two kinds of callers."""
    app = FastAPI()
    lives = {
        "users": Itemwire(user=user, settings=settings_of(secret=None)),
        "tokens": Itemwire(settings=settings_for(TOKENS)),
    }
    for name, live in lives.items():
        app.include_router(live.router, prefix=f"/{name}")
    lives["tokens"].add_channel("news", anonymous=True)

    @lives["users"].channel("news", anonymous=True)
    async def news() -> Rights:
        return Rights("subscribe")

    with live_application(
        app, protocols={"fastpath": FASTPATH, "stock": STOCK}[request.param]
    ) as running:
        yield running


@pytest.mark.parametrize("caller", list(CALLERS))
def test_is_refused_alike_on_every_way_in(server: LiveServer, caller: str) -> None:
    """On the item's socket, on one of many items, and as a stream of events."""
    prefix, headers, reason = CALLERS[caller]
    at_once = server.refusal(f"/{prefix}/items/news/ws?replay=1", headers=headers)
    with server.client(f"/{prefix}/ws", headers=headers) as many:
        joined = many.ask("join", item="news", replay=1)
    stream = httpx.get(f"{server.url}/{prefix}/items/news/events?replay=1", headers=headers)

    assert (at_once.code, at_once.reason) == (1008, reason)
    assert (joined["type"], joined["code"]) == ("error", reason)
    assert (stream.status_code, stream.json()["code"]) == (403, reason)


@pytest.mark.parametrize("caller", list(CALLERS))
def test_comes_in_without_a_replay(server: LiveServer, caller: str) -> None:
    """The twin: nothing else was wrong."""
    prefix, headers, _ = CALLERS[caller]
    with server.client(f"/{prefix}/items/news/ws?replay=0", headers=headers) as client:
        assert client.welcome()["can"] == ["subscribe"]
    with server.client(f"/{prefix}/ws", headers=headers) as many:
        assert many.ask("join", item="news")["type"] == "welcome"
