"""A page of a foreign origin on a public item: it never acts as whoever is logged in (CWE-1385)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from itemwire import create_app
from itemwire.serving.server import FASTPATH
from itemwire.testing import Ended, LiveServer
from itemwire.testing.servers import STOCK, live_application, settings_for
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret

pytestmark = pytest.mark.server

TOKENS: Final = TokenFactory(signing_key_from_secret(new_secret()))
GOOD: Final = TOKENS.good(sub="ann", exp=TOKENS.now + 86_400)
COOKIE: Final = {"Cookie": f"session={GOOD}"}
BEARER: Final = {"Authorization": f"Bearer {GOOD}"}
EVIL: Final = {"Origin": "https://evil.example"}

FILE: Final = """
["news"]
anonymous = true
["order"]
"""

# What is sent by a foreign page, and what it is then: on a public item, and on another one.
PAGES: Final[dict[str, tuple[dict[str, str], str, str, str]]] = {
    "nothing": ({}, "", "as nobody", "credentials_missing"),
    "cookie": (COOKIE, "", "as nobody", "origin_denied"),
    "bad_cookie": ({"Cookie": "session=x"}, "", "as nobody", "origin_denied"),
    "token": (BEARER, "", "as ann", "as ann"),
    "token_in_the_query": ({}, f"token={GOOD}", "as ann", "as ann"),
    "token_and_cookie": (COOKIE | BEARER, "", "origin_denied", "origin_denied"),
    "bad_token_and_cookie": (COOKIE, "token=x", "origin_denied", "origin_denied"),
    "bad_ticket_and_cookie": (COOKIE, "ticket=x", "origin_denied", "origin_denied"),
}


@pytest.fixture(scope="module", params=["fastpath", "stock"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """Run a server with a public item, where tokens say who is calling."""
    path = tmp_path_factory.mktemp("rules") / "channels.toml"
    path.write_text(FILE)
    app = create_app(settings_for(TOKENS, channels_file=path))
    classes = {"fastpath": FASTPATH, "stock": STOCK}[request.param]
    with live_application(app, protocols=classes) as running:
        yield running


def told(server: LiveServer, path: str, headers: dict[str, str]) -> str:
    """Open a socket; return who the caller is then, or why it is refused."""
    try:
        with server.client(path, headers=headers) as client:
            return f"as {client.welcome()['subject'] or 'nobody'}"
    except Ended as ended:
        return ended.refusal.reason


@pytest.mark.parametrize("page", list(PAGES))
def test_a_foreign_page_is_who_it_says_itself(server: LiveServer, page: str) -> None:
    """What it has asked for it does not lose without a word; the cookie it has not asked for."""
    headers, query, *expected = PAGES[page]
    sent = headers | EVIL

    items = [f"/items/{item}/ws?{query}" for item in ("news", "order")]
    assert [told(server, path, sent) for path in items] == expected


@pytest.mark.parametrize("origin", ["own", "none"])
def test_a_page_of_our_own_acts_by_its_cookie(server: LiveServer, origin: str) -> None:
    """The twin: and so does a client that is no browser."""
    headers = COOKIE | ({"Origin": server.url} if origin == "own" else {})

    items = [f"/items/{item}/ws" for item in ("news", "order")]
    assert [told(server, path, headers) for path in items] == ["as ann", "as ann"]


def test_joins_only_what_is_public(server: LiveServer) -> None:
    """On a socket of many items, and as a stream of events."""
    with server.client("/ws", headers=COOKIE | EVIL) as many:
        joined, refused = (many.ask("join", item=item) for item in ("news", "order"))
    stream = httpx.get(f"{server.url}/items/order/events", headers=COOKIE | EVIL, timeout=30)

    assert (joined["subject"], joined["can"]) == ("", ["subscribe"])
    assert (refused["code"], stream.json()["code"]) == ("credentials_missing", "origin_denied")
