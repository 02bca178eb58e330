"""Tests of tokens/checks.py: where each check draws its line, from both sides.

The attack catalogue holds the far side of most lines (test_attacks.py); here are the edges.
"""

from __future__ import annotations

import pytest

from itemwire_auth.testing import ABSENT, TokenFactory
from itemwire_auth.tokens.parsed_token import TokenRules
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


def test_a_secret_without_a_name_serves_no_token_with_one(factory: TokenFactory) -> None:
    """A `kid` names a key; that there is only one does not make it the one (requirement 34)."""
    token = factory.sign(factory.header(kid="a"), factory.claims())

    assert failed_check(factory, token) == "key"
    assert failed_check(factory, factory.good()) is None
