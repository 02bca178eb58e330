"""Tests of tokens/claims.py: where each check of a claim draws its line, from both sides.

The attack catalogue holds the far side of most lines (test_attacks.py); here are the edges.
"""

from __future__ import annotations

import dataclasses

import pytest

from itemwire_auth.errors import InvalidToken
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.testing import ABSENT, TokenFactory
from itemwire_auth.tokens.claims import LAST_DATE, MAX_SUBJECT_LENGTH
from itemwire_auth.tokens.verifier import TokenVerifier
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
        pytest.param(0, {"iat": NOW + 5}, None, id="issued-by-a-clock-ahead"),
        pytest.param(0, {"iat": NOW + 6}, "issued_at", id="issued-later"),
        pytest.param(9, {"iat": NOW + 9}, None, id="issued-within-leeway"),
        pytest.param(9, {"iat": NOW + 10}, "issued_at", id="issued-past-leeway"),
        pytest.param(0, {"exp": NOW + 1.5}, None, id="ends-at-a-fraction"),
        pytest.param(0, {"exp": NOW + 0.9}, "expiry", id="a-fraction-adds-nothing"),
        pytest.param(0, {"exp": float(NOW + 1)}, None, id="whole-number-with-a-point"),
        pytest.param(0, {"nbf": NOW - 0.5}, None, id="began-at-a-fraction"),
        pytest.param(0, {"nbf": NOW + 0.5}, "not_before", id="begins-at-a-fraction"),
        pytest.param(0, {"iat": NOW - 0.5}, None, id="issued-at-a-fraction"),
        pytest.param(0, {"exp": LAST_DATE + 0.5}, "expiry", id="a-fraction-past-ten-digits"),
        pytest.param(0, {"iat": ABSENT}, None, id="no-iat"),
        pytest.param(0, {"exp": LAST_DATE + 1}, "expiry", id="eleven-digits"),
        pytest.param(0, {"exp": LAST_DATE}, "lifetime", id="ten-digits"),
    ],
)
def test_draws_the_line_of_a_date(
    leeway: int, claims: dict[str, object], check: str | None, factory: TokenFactory
) -> None:
    """Expiry includes its second; the leeway is the configured one (requirements 50, 51).

    A date may have a fraction (RFC 7519 section 2, requirement 136): Python's `time.time()` has.
    """
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
        pytest.param(42, None, id="number"),
        pytest.param(4.2, "subject", id="fraction"),
        pytest.param(True, "subject", id="true"),
        pytest.param("a\x7f", "subject", id="delete"),
        pytest.param("a\x85", "subject", id="next-line"),
        pytest.param("a\u2028", "subject", id="line-separator"),
        pytest.param("a\x1b[2J", "subject", id="terminal-escape"),
    ],
)
def test_draws_the_line_of_a_subject(
    subject: object, check: str | None, factory: TokenFactory
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


@pytest.mark.parametrize(
    ("claims", "subject"),
    [
        pytest.param({"user_id": "7", "sub": ABSENT}, "7", id="no-sub"),
        pytest.param({"user_id": 7, "sub": "alice"}, "7", id="number-beside-sub"),
        pytest.param({"user_id": "7", "sub": 4.2}, "7", id="a-sub-that-decides-nothing"),
        pytest.param({"user_id": ABSENT, "sub": "alice"}, None, id="sub-alone"),
        pytest.param({"user_id": ""}, None, id="empty"),
    ],
)
def test_the_caller_is_whom_the_configured_claim_names(
    claims: dict[str, object], subject: str | None, factory: TokenFactory
) -> None:
    """Nobody falls back to another claim: that could name somebody else (requirement 136)."""
    rules = dataclasses.replace(factory.rules, subject_claim="user_id")
    keys = StaticKeys([factory.key.verification_key()])
    verifier = TokenVerifier(keys, rules, factory.clock)
    token = factory.good(**claims)

    if subject is None:
        with pytest.raises(InvalidToken) as refused:
            verifier.verify(token)
        assert refused.value.check == "subject"
    else:
        assert verifier.verify(token).identity == (factory.issuer, subject)


@pytest.mark.parametrize(
    ("audience", "claims", "check"),
    [
        pytest.param((), {"aud": ABSENT, "client_id": "web"}, None, id="our-client"),
        pytest.param((), {"aud": ABSENT, "client_id": "ios"}, None, id="our-other-client"),
        pytest.param((), {"aud": ABSENT, "client_id": "web2"}, "audience", id="another-client"),
        pytest.param((), {"aud": ABSENT, "client_id": ["web"]}, "audience", id="list"),
        pytest.param((), {"aud": ABSENT}, "audience", id="no-client"),
        pytest.param(("a",), {"aud": ABSENT, "client_id": "web"}, None, id="in-place-of-aud"),
        pytest.param(("a",), {"aud": "a", "client_id": "other"}, None, id="aud-decides"),
        pytest.param(("a",), {"aud": "b", "client_id": "web"}, "audience", id="not-beside-aud"),
        pytest.param((), {"aud": "b", "client_id": "web"}, "audience", id="aud-not-configured"),
    ],
)
def test_a_client_stands_in_for_an_absent_audience(
    audience: tuple[str, ...], claims: dict[str, object], check: str | None, factory: TokenFactory
) -> None:
    """Cognito's access tokens have no `aud`; where there is one, it decides (requirement 53)."""
    token = factory.good(**claims)

    assert failed_check(factory, token, audience=audience, client_ids=("web", "ios")) == check


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"scope": ["openid", "items:subscribe"]}, id="scope-list"),
        pytest.param({"scope": None}, id="scope-null"),
        pytest.param({"scope": {"a": 1}}, id="scope-object"),
        pytest.param({"items": [{"id": 1}]}, id="items-list"),
        pytest.param({"items": None}, id="items-null"),
        pytest.param({"items": {"*": "subscribe"}}, id="items-of-text"),
        pytest.param({"items": {"*": [1]}}, id="items-of-numbers"),
        pytest.param({"permissions": {"read": True}}, id="permissions-object"),
        pytest.param({"realm_access": ["roles"]}, id="path-through-a-list"),
        pytest.param({"jti": 7}, id="jti-number"),
        pytest.param({"jti": ["7"]}, id="jti-list"),
        pytest.param({"sid": ["s1"]}, id="sid-list"),
        pytest.param({"azp": 1, "nonce": None, "amr": "pwd"}, id="claims-of-others"),
    ],
)
def test_a_claim_that_decides_nothing_here_refuses_nothing(
    claims: dict[str, object], factory: TokenFactory
) -> None:
    """Issuers write such tokens; what a claim cannot grant it does not grant (requirement 136)."""
    assert failed_check(factory, factory.good(**claims)) is None


def test_numbers_are_names_too(factory: TokenFactory) -> None:
    """A token is revoked by the text of its number; a list names nothing."""
    verifier = verifier_of(factory)
    numbered = verifier.verify(factory.good(jti=7, sid=8))
    listed = verifier.verify(factory.good(jti=["7"], sid=["8"]))

    assert (numbered.token_id, numbered.session) == ("7", "8")
    assert (listed.token_id, listed.session) == (None, None)


def test_what_a_revocation_goes_by_is_read_from_the_claims(factory: TokenFactory) -> None:
    """The token's id and when it was issued; without `iat` it is older than any of them."""
    verifier = verifier_of(factory)
    full = verifier.verify(factory.good(jti="t1", iat=NOW - 7))
    bare = verifier.verify(factory.good(jti=ABSENT, iat=ABSENT))

    assert (full.token_id, full.issued_at, full.issuer) == ("t1", NOW - 7, factory.rules.issuer)
    assert (bare.token_id, bare.issued_at) == (None, 0)
