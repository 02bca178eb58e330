"""Cookies that a foreign page made the browser send: refused, in both modes (CWE-1385)."""

import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import EVERYTHING, item_path, token
from tests.scenarios.conftest import Door, Serve, refused

BARE = item_path("42")

# `{}` is the server's own origin; the list is `self`, one site, and every name below another.
FOREIGN = {
    "another_site": "https://evil.test",
    "null": "null",
    "empty": "",
    "own_host_other_scheme": "https{}",
    "own_host_other_port": "http://127.0.0.1:1",
    "own_host_without_port": "http://127.0.0.1",
    "own_origin_as_prefix": "{}.evil.test",
    "own_origin_with_path": "{}/",
    "own_origin_as_password": "{}@evil.test",
    "two_joined_by_comma": "{}, https://evil.test",
    "two_joined_by_space": "{} https://app.example.com",
    "listed_as_prefix": "https://app.example.com.evil.test",
    "listed_as_suffix": "https://evil-app.example.com",
    "listed_with_other_scheme": "http://app.example.com",
    "listed_with_port": "https://app.example.com:8443",
    "listed_with_trailing_dot": "https://app.example.com.",
    "below_listed": "https://x.app.example.com",
    "base_of_wildcard": "https://example.org",
    "suffix_of_wildcard": "https://evilexample.org",
    "empty_label": "https://.example.org",
    "wildcard_itself": "https://*.example.org",
    "wildcard_with_port": "https://a.example.org:444",
    "no_origin_at_all": "example",
    "file": "file://",
    "extension": "chrome-extension://abcdefghijklmnop",
}
ALLOWED = {
    "own": "{}",
    "listed": "https://app.example.com",
    "listed_with_its_default_port": "https://app.example.com:443",
    "listed_in_capitals": "HTTPS://APP.EXAMPLE.COM",
    "below_wildcard": "https://a.example.org",
    "far_below_wildcard": "https://a.b.example.org",
}


@pytest.mark.parametrize("origin", FOREIGN.values(), ids=FOREIGN)
def test_refuses_a_cookie_from_a_foreign_origin(door: Door, origin: str) -> None:
    """Browsers attach cookies to whatever any page opens: plain FastAPI let all of these in."""
    assert door.refusal(BARE, headers=_from(door, origin)) == door.says("origin_denied")


@pytest.mark.parametrize("origin", ALLOWED.values(), ids=ALLOWED)
def test_takes_a_cookie_from_an_allowed_origin(door: Door, origin: str) -> None:
    """The pages an operator named, and the server's own."""
    assert door.welcomes(BARE, headers=_from(door, origin))


def test_takes_a_cookie_without_origin(door: Door) -> None:
    """Every browser sends Origin with a handshake: without it this is a program."""
    assert door.welcomes(BARE, headers={"Cookie": f"session={door.tokens.good()}"})


@pytest.mark.parametrize("second", ["{}", "https://evil.test", ""])
def test_refuses_a_cookie_with_two_origins(door: Door, second: str) -> None:
    """Two headers, two readers, two truths: no browser sends that (requirement 15)."""
    headers = _from(door, "{}") | {"origin": second.replace("{}", door.server.url)}

    assert door.refusal(BARE, headers=headers).status == 400


def test_a_good_token_beside_it_does_not_excuse_a_foreign_cookie(door: Door) -> None:
    """The page got hold of a token, and still may not ride on the cookie."""
    path = door.path()

    assert door.refusal(path, headers=_from(door, "https://evil.test")) == door.says(
        "origin_denied"
    )
    assert door.welcomes(path, headers=_from(door, "https://app.example.com"))


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "", "a, b"])
def test_takes_a_token_from_any_origin(door: Door, origin: str) -> None:
    """A browser never adds a token by itself: who has it may use it from anywhere."""
    path, bearer = door.path(), {"Authorization": f"Bearer {door.tokens.good()}"}

    assert door.welcomes(path, headers={"Origin": origin})
    assert door.welcomes(BARE, headers=bearer | {"Origin": origin})


def test_refuses_the_own_origin_under_a_name_that_is_not_the_servers(door: Door) -> None:
    """DNS rebinding: a page's name leads here; Origin and Host agree on it (requirement 16)."""
    # 127.1 is another spelling of the loopback address, as a rebound name would be.
    elsewhere = _under(door, "127.1")

    assert elsewhere.refusal(BARE, headers=_from(elsewhere, "{}")) == door.says("origin_denied")


def test_takes_the_own_origin_under_each_name_of_the_server(door: Door) -> None:
    """`localhost` is the server's own name by default."""
    localhost = _under(door, "localhost")

    assert localhost.welcomes(BARE, headers=_from(localhost, "{}"))


def test_refuses_every_origin_where_none_is_allowed(serve: Serve) -> None:
    """An empty list means no page, not every page (Centrifugo's rule)."""
    settings = Settings(secret=SECRET, allowed_origins=(), _env_file=None)
    cookie = {"Cookie": f"session={token('alice', EVERYTHING)}"}
    with serve(settings) as server:
        own = server.refusal(BARE, headers=cookie | {"Origin": server.url})
        with server.connect(BARE, headers=cookie):
            pass

    assert own == refused("close", "origin_denied")


def _under(door: Door, name: str) -> Door:
    """Reach the same server by another of its machine's names."""
    url = door.server.url.replace("127.0.0.1", name)
    return Door(LiveServer(url, door.server.server), door.mode, door.tokens)


def _from(door: Door, origin: str) -> dict[str, str]:
    """Come with a good session cookie, from a page of an origin."""
    own = door.server.url.removeprefix("http") if origin.startswith("https{}") else door.server.url
    return {"Cookie": f"session={door.tokens.good()}", "Origin": origin.replace("{}", own)}
