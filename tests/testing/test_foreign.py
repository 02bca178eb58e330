"""The attack catalogue on applications that know nothing of Itemwire, on uvicorn's own classes."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import jwt
import pytest

from itemwire.testing import (
    BEARER,
    LiveServer,
    Report,
    Route,
    Severity,
    Source,
    attacks_for,
    faults,
    live_application,
    run_attacks,
)
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from tests.testing import foreign

# What uvicorn's own classes let in, whatever the application does.
OF_THE_SERVER: Final = {"handshake_host_missing", "handshake_host_twice", "handshake_http_1_0"}

TOKENS: Final = Route("/rooms/{item}", good=lambda: token(exp=int(time.time()) + 300))
KEYS: Final = Route("/feed", good=lambda: foreign.KEY, sources=(Source("header", "X-API-Key"),))
LOGINS: Final = Route(
    "/news", good=lambda: "anns-login", sources=(Source("cookie", "shop_login"), BEARER)
)


def token(**claims: object) -> str:
    """Return a token as the application makes them itself."""
    return jwt.encode({"sub": "carol"} | claims, foreign.SECRET)


@pytest.fixture(scope="module")
def tokens_server() -> Iterator[LiveServer]:
    """Run the application with tokens."""
    with live_application(foreign.tokens_app) as server:
        yield server


@pytest.fixture(scope="module")
def logins_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Run the application with logins in a database."""
    file = tmp_path_factory.mktemp("foreign") / "shop.db"
    with live_application(foreign.logins_app(f"sqlite+aiosqlite:///{file}")) as server:
        yield server


def by_severity(reports: list[Report]) -> dict[Severity, set[str]]:
    """Return the names of the faults of each severity."""
    found = {severity: set[str]() for severity in Severity}
    for report in reports:
        if report.is_fault:
            found[report.severity].add(report.name)
    return found


def test_tokens_of_a_careful_application_have_no_hole(tokens_server: LiveServer) -> None:
    """PyJWT withstands every forgery; that FastAPI takes the last of two tokens is a weakness."""
    reports = run_attacks(tokens_server, attacks_for(TOKENS))

    assert len(reports) > 100
    assert set(faults(reports)) == {"query_twice", "query_bad_before_good"} | OF_THE_SERVER
    assert by_severity(reports)[Severity.HOLE] == set()


def test_the_key_of_the_application_finds_more(tokens_server: LiveServer) -> None:
    """Tokens with a single fault, rightly signed: it takes some that standards forbid."""
    key = signing_key_from_secret(foreign.SECRET)
    plain = TokenFactory(key, issuer=None, audience=None, token_type=None)
    reports = run_attacks(tokens_server, attacks_for(Route("/rooms/{item}", plain)))
    of_tokens = {"query_no_exp", "token_no_exp", "token_bound_to_sender"}

    assert of_tokens <= set(faults(reports))
    assert by_severity(reports)[Severity.HOLE] == set()


def test_tokens_it_does_not_expect_fail_once(tokens_server: LiveServer) -> None:
    """A factory puts `aud` into tokens, which PyJWT refuses where none is configured."""
    tokens = TokenFactory(signing_key_from_secret(foreign.SECRET))
    reports = run_attacks(tokens_server, attacks_for(Route("/rooms/{item}", tokens)))

    assert faults(reports) == {"good_client": "good_refused"}
    assert "issuer=None, audience=None, token_type=None" in str(reports[0])


def test_opaque_keys_have_no_hole() -> None:
    """No part of a key is one, and no pattern; a header twice is taken as its first."""
    with live_application(foreign.keys_app) as server:
        reports = run_attacks(server, attacks_for(KEYS))

    assert len(reports) > 90
    assert set(faults(reports)) == {"header_twice", "header_good_before_bad"} | OF_THE_SERVER


def test_a_login_by_cookie_is_open_to_pages_of_every_origin(logins_server: LiveServer) -> None:
    """FastAPI checks no Origin, and browsers add the cookie for any page: a hole in most teams'."""
    found = by_severity(run_attacks(logins_server, attacks_for(LOGINS, severity="hole")))

    assert {"origin_another_site", "origin_null", "origin_own_as_prefix"} <= found[Severity.HOLE]
    assert all(name.startswith("origin_") for name in found[Severity.HOLE])
    assert len(found[Severity.HOLE]) > 10


def test_one_comparison_closes_it(logins_server: LiveServer) -> None:
    """The same logins, where the application compares the Origin with its Host."""
    mended = replace(LOGINS, path="/own-news")
    found = by_severity(run_attacks(logins_server, attacks_for(mended)))

    assert found[Severity.HOLE] == set()
    assert found[Severity.WEAKNESS] - OF_THE_SERVER == {
        "origin_empty",
        "origin_rebound",  # Host is what the client sends
        "cookie_twice",
        "cookie_bad_before_good",
        "header_twice",
        "header_good_before_bad",
        "header_no_scheme",
    }
