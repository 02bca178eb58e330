"""Tests of authenticator.py: the order of all checks, and which credential decides."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.errors import (
    AuthError,
    DisagreeingCredentials,
    DuplicateCredential,
    Forbidden,
    InvalidToken,
    MissingCredential,
    OriginDenied,
    RevokedToken,
)
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.principal import Principal
from itemwire_auth.revocation import Revocation
from itemwire_auth.testing import BAD_TOKENS, TokenFactory
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.handshakes import Headers, handshake

APP = "https://app.example.com"
LATER = time.time() + 3600  # what is revoked is so by the clock of the table, not the verifier's


@pytest.fixture
def authenticator(verifier: TokenVerifier) -> Authenticator:
    """Return an authenticator that trusts the pages of one origin and its own."""
    return Authenticator(verifier, OriginPolicy([APP, "self"], ["localhost"]))


def authenticate(
    authenticator: Authenticator, query: str = "", headers: Headers = (), *offered: str
) -> Principal:
    """Authenticate one handshake."""
    return asyncio.run(authenticator.authenticate(handshake(query, headers, subprotocols=offered)))


def cookie(token: str, *origins: str) -> list[tuple[str, str]]:
    """Return the headers of a browser."""
    return [("Cookie", f"session={token}"), *(("Origin", origin) for origin in origins)]


@pytest.mark.parametrize("source", ["authorization", "subprotocol", "query", "cookie"])
def test_takes_a_credential_from_each_source(
    source: str,
    authenticator: Authenticator,
    factory: TokenFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The accepted twin of every refusal below, with one line in the log (requirement 104)."""
    token = factory.good()
    connection = {
        "authorization": handshake(headers=[("Authorization", f"Bearer {token}")]),
        "subprotocol": handshake(subprotocols=[f"itemwire.token.{token}"]),
        "query": handshake(f"token={token}"),
        "cookie": handshake(headers=cookie(token, APP)),
    }[source]

    with caplog.at_level(logging.INFO, "itemwire.auth"):
        principal = asyncio.run(authenticator.authenticate(connection))

    assert principal.subject == "alice"
    (record,) = caplog.records
    assert record.getMessage().startswith("authenticated ")
    assert f"source={source}" in record.getMessage()
    assert token not in record.getMessage()


def test_refuses_who_presents_nothing(authenticator: Authenticator) -> None:
    """No credential is not a bad one: the client may know what to do."""
    with pytest.raises(MissingCredential):
        authenticate(authenticator, "since=1", [("Authorization", "Basic YTpi")])


@pytest.mark.parametrize("query", ["token=", "token"])
def test_an_empty_credential_is_a_bad_one(query: str, authenticator: Authenticator) -> None:
    """It was presented, so something else cannot stand in for it."""
    with pytest.raises(InvalidToken):
        authenticate(authenticator, query)


@pytest.mark.parametrize(
    ("name", "source"), [(name, "query") for name in ("expired", "crit", "wrong_signature")]
)
def test_a_refusal_names_its_source(
    name: str, source: str, authenticator: Authenticator, factory: TokenFactory
) -> None:
    """An operator sees which of the client's credentials was bad."""
    with pytest.raises(InvalidToken) as refused:
        authenticate(authenticator, f"token={BAD_TOKENS[name](factory)}")

    assert refused.value.source == source


@pytest.mark.parametrize("bad", ["query", "cookie"])
def test_every_presented_credential_must_hold(
    bad: str, authenticator: Authenticator, factory: TokenFactory
) -> None:
    """A good token does not carry a bad one in, whichever is looked at first (requirement 24)."""
    good, expired = factory.good(), BAD_TOKENS["expired"](factory)
    query, session = (expired, good) if bad == "query" else (good, expired)

    assert authenticate(authenticator, f"token={good}", cookie(good, APP)).subject == "alice"
    with pytest.raises(InvalidToken) as refused:
        authenticate(authenticator, f"token={query}", cookie(session, APP))
    assert refused.value.source == bad


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"sub": "bob"}, id="subject"),
        pytest.param({"sub": "Alice"}, id="subject-case"),
        pytest.param({"sub": "bob", "scope": "admin"}, id="more-rights"),
    ],
)
def test_two_sources_must_name_one_caller(
    other: dict[str, object], authenticator: Authenticator, factory: TokenFactory
) -> None:
    """A cookie of one user and a token of another: none of them is preferred (requirement 17)."""
    ours, theirs = factory.good(), factory.good(**other)

    with pytest.raises(DisagreeingCredentials):
        authenticate(authenticator, f"token={ours}", cookie(theirs, APP))


def test_the_first_source_wins(authenticator: Authenticator, factory: TokenFactory) -> None:
    """Of two credentials of one caller, the first in the table says what it may do."""
    first, second = factory.good(jti="1", scope=""), factory.good(jti="2")

    principal = authenticate(
        authenticator, f"token={second}", [("Authorization", f"Bearer {first}")]
    )

    assert principal.token_id == "1"


@pytest.mark.parametrize(
    "origins",
    [
        pytest.param(["https://evil.test"], id="foreign"),
        pytest.param(["null"], id="null"),
        pytest.param([""], id="empty"),
        pytest.param([APP, APP], id="repeated"),
        pytest.param([f"{APP}, https://evil.test"], id="joined-by-comma"),
        pytest.param([f"{APP}.evil.test"], id="prefix"),
    ],
)
def test_a_foreign_page_cannot_use_the_cookie(
    origins: list[str], authenticator: Authenticator, factory: TokenFactory
) -> None:
    """Cross-site WebSocket hijacking (CWE-1385), whatever else is presented (requirement 13)."""
    token = factory.good()

    with pytest.raises(OriginDenied):
        authenticate(authenticator, headers=cookie(token, *origins))
    with pytest.raises(OriginDenied):
        authenticate(authenticator, f"token={token}", cookie(token, *origins))
    with pytest.raises(OriginDenied):
        authenticate(authenticator, headers=cookie("garbage", *origins))
    assert authenticate(authenticator, headers=cookie(token, APP)).subject == "alice"


def test_a_foreign_page_may_use_a_token(
    authenticator: Authenticator, factory: TokenFactory
) -> None:
    """A token in the query was put there by the page: it is no browser's reflex."""
    headers = [("Origin", "https://evil.test")]

    assert authenticate(authenticator, f"token={factory.good()}", headers).subject == "alice"


def test_a_cookie_without_origin_is_no_browser(
    authenticator: Authenticator, factory: TokenFactory
) -> None:
    """Every browser sends Origin with a handshake; scripts and tests do not."""
    assert authenticate(authenticator, headers=cookie(factory.good())).subject == "alice"


@pytest.mark.parametrize("method", [None, "GET"], ids=["handshake", "request"])
@pytest.mark.parametrize(
    ("sites", "allowed"),
    [
        pytest.param(["same-origin"], True, id="own-page"),
        pytest.param(["none"], True, id="typed-by-the-user"),
        pytest.param(["same-site"], False, id="peer"),
        pytest.param(["cross-site"], False, id="foreign"),
        pytest.param(["same-origin", "cross-site"], False, id="two"),
        pytest.param([""], False, id="empty"),
    ],
)
def test_a_cookie_without_origin_counts_if_no_foreign_page_asks(
    sites: list[str],
    allowed: bool,
    method: str | None,
    authenticator: Authenticator,
    factory: TokenFactory,
) -> None:
    """An image on a sibling subdomain's page sends the cookie and no Origin."""
    headers = [*cookie(factory.good()), *(("Sec-Fetch-Site", site) for site in sites)]
    connection = handshake("", headers, method=method, scheme="https")

    if allowed:
        assert asyncio.run(authenticator.authenticate(connection)).subject == "alice"
    else:
        with pytest.raises(OriginDenied):
            asyncio.run(authenticator.authenticate(connection))


def test_an_allowed_origin_counts_whatever_the_site(
    authenticator: Authenticator, factory: TokenFactory
) -> None:
    """A page of another site that an operator has named says both."""
    headers = [*cookie(factory.good(), APP), ("Sec-Fetch-Site", "cross-site")]

    assert authenticate(authenticator, headers=headers).subject == "alice"


@pytest.mark.parametrize(
    ("hosts", "allowed"),
    [
        pytest.param(["localhost:8000"], True, id="own"),
        pytest.param(["evil.test:8000"], False, id="rebound"),
        pytest.param([], False, id="none"),
        pytest.param(["localhost:8000", "localhost:8000"], False, id="two"),
    ],
)
def test_own_pages_need_a_host_that_is_ours(
    hosts: list[str], allowed: bool, authenticator: Authenticator, factory: TokenFactory
) -> None:
    """DNS rebinding makes a foreign page same-origin, but not its name ours (requirement 16)."""
    origin = f"http://{hosts[0]}" if hosts else "http://localhost:8000"
    headers = [*cookie(factory.good(), origin), *(("Host", host) for host in hosts)]

    outcome: Principal | AuthError
    try:
        outcome = authenticate(authenticator, headers=headers)
    except AuthError as error:
        outcome = error

    assert isinstance(outcome, Principal if allowed else OriginDenied)


def test_two_session_cookies_are_refused(
    authenticator: Authenticator, factory: TokenFactory
) -> None:
    """A neighbouring subdomain can plant a second one; the last is not the right one."""
    headers = [("Cookie", f"session={factory.good()}; session={factory.good()}"), ("Origin", APP)]

    with pytest.raises(DuplicateCredential):
        authenticate(authenticator, headers=headers)


@pytest.mark.parametrize("source", ["authorization", "subprotocol", "query", "cookie"])
def test_refuses_a_token_that_was_taken_back_from_any_source(
    source: str, authenticator: Authenticator, factory: TokenFactory
) -> None:
    """Also one that it let in a moment ago (requirement 70); its holder's other token is good."""
    token, other = factory.good(jti="t1"), factory.good(jti="t2")
    connection = {
        "authorization": handshake(headers=[("Authorization", f"Bearer {token}")]),
        "subprotocol": handshake(subprotocols=[f"itemwire.token.{token}"]),
        "query": handshake(f"token={token}"),
        "cookie": handshake(headers=cookie(token, APP)),
    }[source]
    assert asyncio.run(authenticator.authenticate(connection)).token_id == "t1"

    authenticator.revocations.add(Revocation(LATER, token_id="t1"))

    with pytest.raises(RevokedToken) as refused:
        asyncio.run(authenticator.authenticate(connection))
    assert refused.value.source == source
    assert authenticate(authenticator, f"token={other}").token_id == "t2"


def test_a_revoked_token_beside_a_good_one_is_refused(
    authenticator: Authenticator, factory: TokenFactory
) -> None:
    """Every presented credential must hold."""
    good, bad = factory.good(jti="t1"), factory.good(jti="t2")
    authenticator.revocations.add(Revocation(LATER, token_id="t2"))

    with pytest.raises(RevokedToken) as refused:
        authenticate(authenticator, f"token={bad}", [("Authorization", f"Bearer {good}")])

    assert refused.value.source == "query"


def test_a_stranger_does_not_learn_what_was_revoked(
    authenticator: Authenticator, factory: TokenFactory
) -> None:
    """`token_revoked` is for who shows the token itself; a forgery is a bad token like any."""
    authenticator.revocations.add(Revocation(LATER, subject="alice"))

    with pytest.raises(InvalidToken):
        authenticate(authenticator, f"token={BAD_TOKENS['wrong_signature'](factory)}")


def test_looks_at_no_source_but_those_it_is_asked_for(
    authenticator: Authenticator, factory: TokenFactory
) -> None:
    """Where a cookie must not count, one that is sent along must not harm either."""
    token = factory.good()
    elsewhere = handshake(f"token={token}", cookie("x", "https://evil.example"))
    header = ("Authorization", f"Bearer {token}")
    both = handshake("token=x", [header, *cookie("x", "https://evil.example")])

    with pytest.raises(MissingCredential):
        asyncio.run(authenticator.authenticate(elsewhere, {"authorization"}))
    assert asyncio.run(authenticator.authenticate(both, {"authorization"})).subject == "alice"


@pytest.mark.parametrize(
    ("method", "origins", "is_taken"),
    [
        pytest.param("GET", [], True, id="reading-without-origin"),
        pytest.param("GET", ["https://evil.test"], False, id="reading-from-afar"),
        pytest.param("POST", [APP], True, id="writing"),
        pytest.param("POST", [], False, id="writing-without-origin"),
        pytest.param("POST", ["null"], False, id="writing-from-nowhere"),
        pytest.param("POST", ["https://evil.test"], False, id="writing-from-afar"),
        pytest.param("DELETE", [], False, id="deleting-without-origin"),
        pytest.param("PUT", [APP], True, id="putting"),
    ],
)
def test_a_cookie_changes_something_from_an_allowed_page_only(
    method: str,
    origins: list[str],
    is_taken: bool,
    authenticator: Authenticator,
    factory: TokenFactory,
) -> None:
    """A form of a foreign page can be made to send the cookie (CSRF, CWE-352)."""
    headers = cookie(factory.good(), *origins)

    outcome: Principal | AuthError
    try:
        request = handshake("", headers, method=method, scheme="https")
        outcome = asyncio.run(authenticator.authenticate(request))
    except AuthError as error:
        outcome = error

    assert isinstance(outcome, Principal if is_taken else OriginDenied)


def test_a_token_changes_something_from_anywhere(
    authenticator: Authenticator, factory: TokenFactory
) -> None:
    """No browser adds one by itself."""
    request = handshake(headers=[("Authorization", f"Bearer {factory.good()}")], method="POST")

    assert asyncio.run(authenticator.authenticate(request)).subject == "alice"


SECRET = "a secret of the operator"


@pytest.mark.parametrize(
    ("secret", "headers", "refused"),
    [
        pytest.param(SECRET, [("Authorization", f"Bearer {SECRET}")], None, id="right"),
        pytest.param(SECRET, [("Authorization", f"Bearer {SECRET}x")], InvalidToken, id="longer"),
        pytest.param(SECRET, [("Authorization", "Bearer a")], InvalidToken, id="wrong"),
        pytest.param(SECRET, [], MissingCredential, id="none"),
        pytest.param(SECRET, cookie(SECRET, APP), MissingCredential, id="as-a-cookie"),
        pytest.param(None, [("Authorization", "Bearer None")], Forbidden, id="not-configured"),
        pytest.param(None, [], Forbidden, id="not-configured-and-none"),
    ],
)
def test_a_secret_is_taken_as_a_bearer_token_only(
    secret: str | None,
    headers: Headers,
    refused: type[AuthError] | None,
    authenticator: Authenticator,
) -> None:
    """Where none is configured nobody has it."""
    connection = handshake(headers=headers, method="GET")
    if refused is None:
        authenticator.check_bearer_secret(connection, secret)
    else:
        with pytest.raises(refused):
            authenticator.check_bearer_secret(connection, secret)
