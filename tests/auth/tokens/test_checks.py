"""Tests of tokens/checks.py: where each check draws its line, from both sides.

The attack catalogue holds the far side of most lines (test_attacks.py); here are the edges.
"""

from __future__ import annotations

import dataclasses

import pytest

from itemwire_auth.errors import InvalidToken
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.testing import ABSENT, TokenFactory
from itemwire_auth.tokens.checks import LAST_DATE, MAX_SUBJECT_LENGTH, TokenRules
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import NOW


def failed_check(factory: TokenFactory, token: str, **rules: object) -> str | None:
    """Tell which check refuses a token under changed rules; None if it is accepted."""
    changed = dataclasses.replace(factory.rules, **rules)  # type: ignore[arg-type] # fields by name
    keys = StaticKeys([factory.key.verification_key()])
    try:
        TokenVerifier(keys, changed, factory.clock).verify(token)
    except InvalidToken as error:
        return error.check
    return None


@pytest.mark.parametrize(
    ("leeway", "claims", "check"),
    [
        pytest.param(0, {"exp": NOW + 1}, None, id="ends-later"),
        pytest.param(0, {"exp": NOW}, "expiry", id="ends-now"),
        pytest.param(5, {"exp": NOW - 4}, None, id="ended-within-leeway"),
        pytest.param(5, {"exp": NOW - 5}, "expiry", id="ended-at-leeway"),
        pytest.param(0, {"nbf": NOW}, None, id="begins-now"),
        pytest.param(0, {"nbf": NOW + 1}, "not_before", id="begins-later"),
        pytest.param(5, {"nbf": NOW + 5}, None, id="begins-within-leeway"),
        pytest.param(5, {"nbf": NOW + 6}, "not_before", id="begins-past-leeway"),
        pytest.param(0, {"iat": NOW}, None, id="issued-now"),
        pytest.param(0, {"iat": NOW + 1}, "issued_at", id="issued-later"),
        pytest.param(5, {"iat": NOW + 5}, None, id="issued-within-leeway"),
        pytest.param(0, {"iat": ABSENT}, None, id="no-iat"),
        pytest.param(0, {"exp": LAST_DATE + 1}, "expiry", id="eleven-digits"),
        pytest.param(0, {"exp": LAST_DATE}, "lifetime", id="ten-digits"),
    ],
)
def test_draws_the_line_of_a_date(
    leeway: int, claims: dict[str, object], check: str | None, factory: TokenFactory
) -> None:
    """Expiry includes its second; the leeway is the configured one (requirements 50, 51)."""
    assert failed_check(factory, factory.good(**claims), leeway=leeway) == check


@pytest.mark.parametrize(
    ("claims", "check"),
    [
        pytest.param({"iat": NOW, "exp": NOW + 600}, None, id="at-the-limit"),
        pytest.param({"iat": NOW, "exp": NOW + 601}, "lifetime", id="past-the-limit"),
        pytest.param({"iat": NOW - 500, "exp": NOW + 101}, "lifetime", id="counted-from-iat"),
        pytest.param({"iat": ABSENT, "exp": NOW + 600}, None, id="without-iat-at-the-limit"),
        pytest.param({"iat": ABSENT, "exp": NOW + 601}, "lifetime", id="without-iat-past-it"),
        pytest.param({"iat": NOW + 5, "exp": NOW + 601}, "lifetime", id="iat-ahead-gains-nothing"),
    ],
)
def test_bounds_a_life(claims: dict[str, object], check: str | None, factory: TokenFactory) -> None:
    """A token for 100 years, or an `exp` in milliseconds, is a mistake (requirement 52)."""
    assert failed_check(factory, factory.good(**claims), max_lifetime=600, leeway=5) == check


@pytest.mark.parametrize("leeway", [-1, 60.5, float("nan"), float("inf")])
def test_refuses_a_leeway_that_undoes_expiry(leeway: float) -> None:
    """More than a minute is not a clock's difference (requirement 50)."""
    with pytest.raises(ValueError, match="leeway"):
        TokenRules(leeway=leeway)


def test_draws_the_line_of_length(factory: TokenFactory) -> None:
    """A token of exactly the greatest length is still read."""
    token = factory.good()

    assert failed_check(factory, token, max_length=len(token)) is None
    assert failed_check(factory, token, max_length=len(token) - 1) == "size"


@pytest.mark.parametrize(
    ("subject", "check"),
    [
        pytest.param("a", None, id="shortest"),
        pytest.param("a" * MAX_SUBJECT_LENGTH, None, id="longest"),
        pytest.param("a" * (MAX_SUBJECT_LENGTH + 1), "subject", id="too-long"),
        pytest.param("Zoë O'Neil <zoë@example.com>", None, id="name"),
        pytest.param("auth0|507f1f77bcf86cd799439011", None, id="bar"),
        pytest.param("نام‌کاربر", None, id="zero-width-non-joiner"),
        pytest.param("a\x7f", "subject", id="delete"),
        pytest.param("a\x85", "subject", id="next-line"),
        pytest.param("a\u2028", "subject", id="line-separator"),
        pytest.param("a\x1b[2J", "subject", id="terminal-escape"),
    ],
)
def test_draws_the_line_of_a_subject(
    subject: str, check: str | None, factory: TokenFactory
) -> None:
    """A subject is shown to others and logged: it stays on its line (requirement 55)."""
    assert failed_check(factory, factory.good(sub=subject)) == check


@pytest.mark.parametrize(
    ("types", "typ", "check"),
    [
        pytest.param((), ABSENT, None, id="default-absent"),
        pytest.param((), "JWT", None, id="default-jwt"),
        pytest.param((), "jwt", None, id="default-lower-case"),
        pytest.param((), "at+jwt", None, id="default-at+jwt"),
        pytest.param((), "application/at+jwt", None, id="default-media-type"),
        pytest.param((), "APPLICATION/JWT", None, id="default-media-type-upper-case"),
        pytest.param((), "", "type", id="default-empty"),
        pytest.param((), "refresh+jwt", "type", id="default-refresh"),
        pytest.param((), "logout+jwt", "type", id="default-logout"),
        pytest.param((), "dpop+jwt", "type", id="default-dpop"),
        pytest.param((), "JWE", "type", id="default-jwe"),
        pytest.param((), "application/application/jwt", "type", id="default-media-type-twice"),
        pytest.param(("at+jwt",), "AT+JWT", None, id="set-same"),
        pytest.param(("application/at+jwt",), "at+jwt", None, id="set-as-media-type"),
        pytest.param(("at+jwt",), "JWT", "type", id="set-other"),
        pytest.param(("at+jwt",), ABSENT, "type", id="set-absent"),
        pytest.param(("JWT", "at+jwt"), "JWT", None, id="set-two"),
    ],
)
def test_draws_the_line_of_a_type(
    types: tuple[str, ...], typ: object, check: str | None, factory: TokenFactory
) -> None:
    """A token for another use is not one for this (requirement 39, RFC 8725 section 3.11)."""
    token = factory.sign(factory.header(typ=typ), factory.claims())

    assert failed_check(factory, token, types=types) == check


@pytest.mark.parametrize(
    ("audience", "claim", "check"),
    [
        pytest.param(("a",), "a", None, id="text"),
        pytest.param(("a",), ["b", "a"], None, id="member"),
        pytest.param(("a", "b"), "b", None, id="second-of-ours"),
        pytest.param(("a",), "A", "audience", id="case"),
        pytest.param(("a",), "ab", "audience", id="longer"),
        pytest.param(("ab",), "a", "audience", id="shorter"),
        pytest.param(("a",), "a b", "audience", id="joined"),
        pytest.param(("a",), ABSENT, "audience", id="absent"),
        pytest.param(("a",), None, "audience", id="null"),
        pytest.param((), ABSENT, None, id="neither"),
        pytest.param((), "a", "audience", id="ours-not-configured"),
        pytest.param((), [], "audience", id="empty-and-not-configured"),
    ],
)
def test_draws_the_line_of_an_audience(
    audience: tuple[str, ...], claim: object, check: str | None, factory: TokenFactory
) -> None:
    """A token for another server does not open this one (requirement 53, RFC 7519 4.1.3)."""
    assert failed_check(factory, factory.good(aud=claim), audience=audience) == check


@pytest.mark.parametrize(
    ("issuer", "claim", "check"),
    [
        pytest.param("https://a.test", "https://a.test", None, id="same"),
        pytest.param("https://a.test", "https://a.test/", "issuer", id="slash"),
        pytest.param("https://a.test", "https://a", "issuer", id="substring"),
        pytest.param("https://a.test", ABSENT, "issuer", id="absent"),
        pytest.param(None, "https://any.test", None, id="not-configured"),
        pytest.param(None, ABSENT, None, id="neither"),
        pytest.param(None, 7, "issuer", id="not-configured-number"),
        pytest.param(None, None, "issuer", id="not-configured-null"),
    ],
)
def test_draws_the_line_of_an_issuer(
    issuer: str | None, claim: object, check: str | None, factory: TokenFactory
) -> None:
    """An issuer compares exactly (requirement 54, CVE-2024-53861)."""
    assert failed_check(factory, factory.good(iss=claim), issuer=issuer) == check


@pytest.mark.parametrize(
    "header", [{"jwk": {"kty": "oct", "k": "AAAA"}}, {"jku": "https://a.test"}, {"x5c": ["MIIB"]}]
)
def test_looks_at_no_key_in_the_header(header: dict[str, object], factory: TokenFactory) -> None:
    """A key in a header is neither used nor a fault: the signature decides (requirement 33)."""
    token = factory.sign(factory.header(**header), factory.claims())

    assert failed_check(factory, token) is None


def test_a_secret_without_a_name_serves_no_token_with_one(factory: TokenFactory) -> None:
    """A `kid` names a key; that there is only one does not make it the one (requirement 34)."""
    token = factory.sign(factory.header(kid="a"), factory.claims())

    assert failed_check(factory, token) == "key"
    assert failed_check(factory, factory.good()) is None
