"""Tests of tokens/claims.py: where each check of a claim draws its line, from both sides.

The attack catalogue holds the far side of most lines (test_attacks.py); here are the edges.
"""

from __future__ import annotations

import pytest

from itemwire_auth.testing import ABSENT, TokenFactory
from itemwire_auth.tokens.claims import LAST_DATE, MAX_SUBJECT_LENGTH
from tests.auth.conftest import NOW, failed_check, verifier_of


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


def test_what_a_revocation_goes_by_is_read_from_the_claims(factory: TokenFactory) -> None:
    """The token's id and when it was issued; without `iat` it is older than any of them."""
    verifier = verifier_of(factory)
    full = verifier.verify(factory.good(jti="t1", iat=NOW - 7))
    bare = verifier.verify(factory.good(jti=ABSENT, iat=ABSENT))

    assert (full.token_id, full.issued_at, full.issuer) == ("t1", NOW - 7, factory.rules.issuer)
    assert (bare.token_id, bare.issued_at) == (None, 0)
