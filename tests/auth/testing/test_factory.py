"""Tests of testing/factory.py: its tokens are as good or bad as they are said to be."""

from __future__ import annotations

import base64
import json

import pytest

from itemwire_auth.testing import ABSENT, TokenFactory
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
