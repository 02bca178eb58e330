"""Tests of cookies.py: the headers that set and clear the session cookie."""

from __future__ import annotations

from http.cookies import Morsel, SimpleCookie

import pytest

from itemwire_auth.cookies import SessionCookie
from tests.auth.conftest import NOW


def read(header: str) -> Morsel[str]:
    """Read a Set-Cookie header as a browser does."""
    (morsel,) = SimpleCookie(header).values()
    return morsel


def test_no_script_reads_it_and_no_foreign_page_sends_it() -> None:
    """Every attribute that OWASP ASVS 5.0 asks for (3.3.1 to 3.3.4, requirement 19)."""
    cookie = read(SessionCookie(clock=lambda: NOW).holding("a.b-c_d.e", NOW + 300))

    assert (cookie.key, cookie.value) == ("session", "a.b-c_d.e")
    assert {name: value for name, value in cookie.items() if value} == {
        "max-age": "300",
        "path": "/",
        "httponly": True,
        "samesite": "Lax",
        "secure": True,
    }


@pytest.mark.parametrize(
    ("name", "wanted", "is_secure"),
    [
        pytest.param("session", True, True, id="by-default"),
        pytest.param("session", False, False, id="without-https"),
        pytest.param("__Host-session", False, True, id="host-prefix"),
        pytest.param("__Secure-session", False, True, id="secure-prefix"),
        pytest.param("__HOST-session", False, True, id="capitals"),
        pytest.param("host-session", False, False, id="no-prefix"),
    ],
)
def test_is_secure_where_it_must_be(name: str, wanted: bool, is_secure: bool) -> None:
    """A browser drops a cookie with one of the prefixes that is not Secure (RFC 6265bis 4.1.3)."""
    cookie = SessionCookie(name, is_secure=wanted, clock=lambda: NOW)

    for header in (cookie.holding("t", NOW + 9), cookie.cleared()):
        assert ("; Secure" in header) is is_secure
        assert "Domain" not in header
        assert "; Path=/;" in header


@pytest.mark.parametrize(("left", "seconds"), [(300, 300), (1.9, 1), (0, 0), (-5, 0)])
def test_lives_no_longer_than_the_token(left: float, seconds: int) -> None:
    """A browser that goes on presenting a dead token only gets refused."""
    cookie = SessionCookie(clock=lambda: NOW - left)

    assert f"; Max-Age={seconds};" in cookie.holding("t", NOW)


def test_clears_what_it_set() -> None:
    """The same name, path and attributes, or the browser takes it for another one."""
    cookie = SessionCookie("__Host-session", clock=lambda: NOW)
    held, cleared = read(cookie.holding("t", NOW + 9)), read(cookie.cleared())

    assert cleared.value == ""
    assert cleared["max-age"] == "0"
    for name in ("path", "httponly", "samesite", "secure"):
        assert cleared[name] == held[name]


def test_knows_how_much_a_browser_keeps() -> None:
    """4096 bytes of name and value; a longer one is dropped in silence."""
    cookie = SessionCookie("session")

    assert cookie.fits("t" * 4088)
    assert not cookie.fits("t" * 4089)
