"""The session cookie as a browser has it: set from a token, sent by itself, cleared."""

from http.cookies import Morsel, SimpleCookie
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from itemwire.main import create_app
from itemwire.serving.server import server_of
from itemwire.settings import Settings
from itemwire.testing import Clock, LiveServer, live_application, live_server, settings_for
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from tests.conftest import SECRET
from tests.scenarios.clients import JSON, JsonClient, close_of, item_path, token
from tests.scenarios.conftest import Door, Serve

EVIL = {"Origin": "https://evil.test"}


def bearer(credential: str) -> dict[str, str]:
    """Send a token as one."""
    return {"Authorization": f"Bearer {credential}"}


def begin(server: LiveServer, credential: str, **headers: str) -> httpx.Response:
    """Begin a session."""
    return httpx.post(f"{server.url}/auth/session", headers=bearer(credential) | headers)


def cookie_of(response: httpx.Response) -> Morsel[str]:
    """Read the one cookie that was set."""
    (header,) = response.headers.get_list("set-cookie")
    (morsel,) = SimpleCookie(header).values()
    return morsel


def sent(cookie: Morsel[str]) -> str:
    """Send a cookie back as a browser does."""
    return f"{cookie.key}={cookie.value}"


def test_a_session_opens_sockets_from_its_own_pages(door: Door) -> None:
    """And from no other: browsers send it wherever a page asks for it (requirement 13)."""
    own = {"Origin": door.server.url}
    cookie = {"Cookie": sent(cookie_of(begin(door.server, door.tokens.good(), **own)))}
    path = item_path("42")

    assert door.welcomes(path, headers=cookie | own)
    assert door.refusal(path, headers=cookie | EVIL) == door.says("origin_denied")


def test_no_script_reads_it_and_it_ends_with_the_token(server: LiveServer) -> None:
    """HttpOnly, SameSite, Secure, and kept in no cache (requirement 19)."""
    response = begin(server, token(lifetime=120))
    cookie = cookie_of(response)

    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert cookie.key == "session"
    assert 115 <= int(cookie["max-age"]) <= 120
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert cookie["secure"] is True
    assert cookie["domain"] == ""
    assert set(response.json()) == {"expires_at"}


def test_its_life_is_told_by_the_clock_of_the_application() -> None:
    """By the machine's own, a cookie that a test makes in another year would end at once."""
    tokens = TokenFactory(signing_key_from_secret(SECRET), clock=Clock(1_000_000_000))
    app = create_app(settings_for(tokens), clock=tokens.clock)

    with live_application(app) as server:
        assert cookie_of(begin(server, tokens.good()))["max-age"] == "300"


@pytest.mark.parametrize("origin", ["own", "none", "https://app.example.com"])
def test_is_cleared_for_whoever_asks_from_an_allowed_page(door: Door, origin: str) -> None:
    """Also for who has no session, or one that is over: there is nothing to prove."""
    headers = {} if origin == "none" else {"Origin": origin.replace("own", door.server.url)}
    response = httpx.delete(f"{door.server.url}/auth/session", headers=headers)
    cookie = cookie_of(response)

    assert response.status_code == 204
    assert response.headers["cache-control"] == "no-store"
    assert (cookie.key, cookie.value, cookie["max-age"]) == ("session", "", "0")
    assert (cookie["httponly"], cookie["path"], cookie["secure"]) == (True, "/", True)


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "", "{}.evil.test", "a, b"])
def test_a_foreign_page_neither_begins_nor_ends_a_session(door: Door, origin: str) -> None:
    """It could sign a user in as somebody else, or out (login CSRF, CWE-352)."""
    foreign = {"Origin": origin.replace("{}", door.server.url)}
    answers = [
        begin(door.server, door.tokens.good(), **foreign),
        httpx.delete(f"{door.server.url}/auth/session", headers=foreign),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["detail"]) == (403, "origin_denied")
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("query", "headers", "detail"),
    [
        pytest.param("", {}, "credentials_missing", id="stranger"),
        pytest.param("", bearer("x"), "credentials_invalid", id="bad-token"),
        pytest.param("?token={}", {}, "credentials_missing", id="query"),
        pytest.param("?ticket={}", {}, "credentials_missing", id="ticket"),
        pytest.param("", {"Cookie": "session={}"}, "credentials_missing", id="cookie"),
    ],
)
def test_a_session_begins_with_a_bearer_token_only(
    server: LiveServer, query: str, headers: dict[str, str], detail: str
) -> None:
    """Anything else a link or a form could carry, or the old session itself."""
    value = token()
    response = httpx.post(
        f"{server.url}/auth/session{query.replace('{}', value)}",
        headers={name: text.replace("{}", value) for name, text in headers.items()},
    )

    assert (response.status_code, response.json()["detail"]) == (401, detail)
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("old", ["another user's", "expired", "garbage"])
def test_a_new_session_takes_the_place_of_the_old_one(server: LiveServer, old: str) -> None:
    """A browser sends the old cookie along; it must not stand in the way of signing in."""
    cookies = {"another user's": token("bob"), "expired": token(lifetime=-9), "garbage": "x"}
    fresh = token("alice")

    response = begin(server, fresh, Cookie=f"session={cookies[old]}")

    assert cookie_of(response).value == fresh


def test_a_token_too_long_for_a_cookie_is_refused(server: LiveServer) -> None:
    """A browser would drop it without a word, and every socket would be refused."""
    response = begin(server, token("alice", " ".join(f"items:{n}:subscribe" for n in range(200))))

    assert response.status_code == 422
    assert "set-cookie" not in response.headers


def test_a_session_fetches_tickets_for_its_own_pages(server: LiveServer) -> None:
    """For a socket on a host that the cookie does not reach."""
    cookie = {"Cookie": sent(cookie_of(begin(server, token())))}
    url = f"{server.url}/auth/tickets"

    own, foreign, none = (
        httpx.post(url, headers=cookie | origin) for origin in ({"Origin": server.url}, EVIL, {})
    )

    assert [own.status_code, foreign.status_code, none.status_code] == [200, 403, 403]


def test_the_host_prefix_works(serve: Serve) -> None:
    """The recommended name: another host of the same site cannot plant it (requirement 19)."""
    settings = Settings(
        secret=SECRET, cookie_name="__Host-session", cookie_secure=False, _env_file=None
    )
    with serve(settings) as server:
        cookie = cookie_of(begin(server, token()))
        headers = {"Cookie": sent(cookie), "Origin": server.url}
        path = item_path("42")
        with server.connect(path, headers=headers, subprotocols=(JSON,)) as connection:
            assert JsonClient(connection).welcome["subject"] == "alice"
        other = server.refusal(path, headers={"Cookie": f"session={token()}"})

    assert (cookie.key, cookie["secure"]) == ("__Host-session", True)
    assert other.reason == "credentials_missing"


def test_works_behind_a_proxy_that_speaks_https_under_a_prefix(serve: Serve) -> None:
    """The page's origin is https://…, the path begins with the prefix, the socket is plain."""
    settings = Settings(secret=SECRET, allowed_hosts=("wire.example.com",), _env_file=None)
    running = server_of(settings, serve.protocols)
    running.config.root_path = "/live"  # uvicorn's --root-path
    name, https = {"Host": "wire.example.com"}, {"X-Forwarded-Proto": "https"}
    page, plain = {"Origin": "https://wire.example.com"}, {"Origin": "http://wire.example.com"}
    with live_server(settings, running) as server:
        url = f"{server.url}/auth/session"
        headers = bearer(token()) | name
        begun = httpx.post(url, headers=headers | https | page)
        foreign = httpx.post(url, headers=headers | https | plain)
        unmarked = httpx.post(url, headers=headers | page)
        cookie = cookie_of(begun)
        headers = {"Cookie": sent(cookie)} | https
        ticket = httpx.post(f"{server.url}/auth/tickets", headers=headers | name | page)
        refusal = _come(server, headers | plain)
        welcome = _come(server, headers | page)

    assert [begun.status_code, foreign.status_code, unmarked.status_code] == [200, 403, 403]
    assert (cookie["path"], cookie["secure"]) == ("/", True)
    assert ticket.status_code == 200
    assert (welcome, refusal) == ("welcome", "origin_denied")


def _come(server: LiveServer, headers: dict[str, str]) -> str:
    """Open a socket under the name that the world knows; give how that went."""
    at = urlsplit(server.url)
    with connect(
        f"ws://wire.example.com{item_path('42')}",
        address=(at.hostname, at.port),
        additional_headers=headers,
        subprotocols=[Subprotocol(JSON)],
        proxy=None,
    ) as connection:
        try:
            return str(JsonClient(connection).welcome["type"])
        except ConnectionClosed as ended:
            return close_of(ended)[1]
