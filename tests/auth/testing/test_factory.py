"""Tests of testing/factory.py: its tokens are as good or bad as they are said to be."""

from __future__ import annotations

import base64
import json

import pytest

from itemwire_auth.testing import ABSENT, TokenFactory, signing_key
from itemwire_auth.tokens.verifier import TokenVerifier


def parts(token: str) -> list[dict[str, object]]:
    """Read header and claims."""
    return [
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in token.split(".")[:2]
    ]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="none"),
        pytest.param({"plan": "pro"}, id="more"),
        pytest.param({"iat": ABSENT}, id="less"),
        pytest.param({"sub": "bob"}, id="other"),
    ],
)
def test_makes_good_tokens(
    changes: dict[str, object], factory: TokenFactory, verifier: TokenVerifier
) -> None:
    """Each is accepted under the factory's rules, and differs only as asked."""
    token = factory.good(**changes)

    claims = verifier.verify(token).claims
    expected = factory.claims() | changes
    assert claims == {name: value for name, value in expected.items() if value is not ABSENT}


def test_signs_whatever_it_is_given(factory: TokenFactory) -> None:
    """A test of a fault needs the fault on the wire, behind a true signature."""
    token = factory.sign({"alg": "none", "x": None}, b'{"sub": "alice", "nan": 1e999}')

    header, claims = parts(token)
    assert header == {"alg": "none", "x": None}
    assert claims["nan"] == float("inf")


def test_a_good_token_has_every_claim_of_a_usual_one(factory: TokenFactory) -> None:
    """A fault in one claim is tested only if the token has that claim."""
    header, claims = parts(factory.good())

    assert header == {"alg": "HS256", "typ": "at+jwt"}
    assert claims == {
        "iss": "https://issuer.test",
        "aud": "itemwire-tests",
        "sub": "alice",
        "iat": factory.now,
        "exp": factory.now + 300,
        "scope": "items:subscribe items:publish items:history items:presence",
    }
    named = TokenFactory(signing_key("ES256", "k1"))
    assert parts(named.good())[0] == {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}


def test_its_rules_are_as_narrow_as_its_tokens() -> None:
    """Else a row of the bad tokens would be good."""
    rules = TokenFactory(signing_key("HS256"), issuer="i", audience="a", token_type="JWT").rules

    assert (rules.issuer, rules.audience, rules.types) == ("i", ("a",), ("JWT",))
