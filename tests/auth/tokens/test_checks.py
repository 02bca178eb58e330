"""Tests of tokens/checks.py: where each check draws its line, from both sides.

The attack catalogue holds the far side of most lines (test_attacks.py); here are the edges.
"""

from __future__ import annotations

import dataclasses

import pytest

from itemwire_auth.errors import InvalidToken
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.testing import ABSENT, TokenFactory, signing_key
from itemwire_auth.tokens.parsed_token import TokenRules
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import failed_check


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
    "header", [{"jwk": {"kty": "oct", "k": "AAAA"}}, {"jku": "https://a.test"}, {"x5c": ["MIIB"]}]
)
def test_looks_at_no_key_in_the_header(header: dict[str, object], factory: TokenFactory) -> None:
    """A key in a header is neither used nor a fault: the signature decides (requirement 33)."""
    token = factory.sign(factory.header(**header), factory.claims())

    assert failed_check(factory, token) is None


def test_one_secret_has_no_name_whatever_its_issuer_calls_it(factory: TokenFactory) -> None:
    """Supabase signs with one secret and writes a `kid`; the signature decides (requirement 34)."""
    header = factory.header(kid="J2kA")
    stranger = dataclasses.replace(factory, key=signing_key("HS256", "stranger"))

    assert failed_check(factory, factory.sign(header, factory.claims())) is None
    assert failed_check(factory, stranger.sign(header, factory.claims())) == "signature"
    assert failed_check(factory, factory.sign(header | {"kid": 7}, factory.claims())) == "key"
    named = dataclasses.replace(factory, key=signing_key("HS256", "a"))
    assert failed_check(named, named.sign(header, named.claims())) == "key"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_two_keys_of_one_name_are_told_apart_by_their_algorithm(
    algorithm: str, factory: TokenFactory
) -> None:
    """RFC 7517 section 4.5 allows it; each key still has its one algorithm (requirement 135)."""
    both = {name: signing_key(name, "a") for name in ("RS256", "ES256")}
    keys = StaticKeys(key.verification_key() for key in both.values())
    verifier = TokenVerifier(keys, factory.rules, factory.clock)
    own = dataclasses.replace(factory, key=both[algorithm])
    confusing = {**own.header(), "alg": next(name for name in both if name != algorithm)}

    token = own.good()
    assert verifier.verify(token) is verifier.verify(token)
    for header, check in (
        (confusing, "signature"),
        (own.header(alg="PS256"), "key"),
        (own.header(alg="HS256"), "key"),
        (own.header(alg="none"), "key"),
        (own.header(kid=ABSENT), "key"),
    ):
        with pytest.raises(InvalidToken) as refused:
            verifier.verify(own.sign(header, own.claims()))
        assert refused.value.check == check
