"""Tests of tokens/passed_checks.py: what an operator is told of checks that a token passed."""

from __future__ import annotations

import dataclasses

import pytest

from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.testing import ABSENT, TokenFactory, signing_key
from itemwire_auth.tokens.checks import CHECKS
from itemwire_auth.tokens.passed_checks import FOUND
from itemwire_auth.tokens.verifier import TokenVerifier


def details(factory: TokenFactory, token: str, **rules: object) -> dict[str, str]:
    """Return what is said of each check of an accepted token."""
    changed = dataclasses.replace(factory.rules, **rules)  # type: ignore[arg-type] # fields by name
    keys = StaticKeys([factory.key.verification_key()])
    results = TokenVerifier(keys, changed, factory.clock).explain(token)
    assert all(result.passed for result in results)
    return {result.name: result.detail for result in results}


def test_describes_checks_that_are_there() -> None:
    """A check that is renamed takes its description along."""
    assert FOUND.keys() <= CHECKS.keys()


@pytest.mark.parametrize(
    ("claims", "rules", "check", "told"),
    [
        pytest.param({}, {}, "key", "the key 'a' is for ES256", id="key"),
        pytest.param({}, {"issuer": None}, "issuer", "asks for none", id="issuer-not-asked"),
        pytest.param({}, {}, "audience", "aud is 'itemwire-tests'", id="audience"),
        pytest.param(
            {"aud": ABSENT}, {"audience": ()}, "audience", "aud is absent", id="audience-not-asked"
        ),
        pytest.param(
            {"aud": ABSENT, "client_id": "web"},
            {"client_ids": ("web",)},
            "audience",
            "client_id is 'web'",
            id="client",
        ),
        pytest.param(
            {"uid": 7}, {"subject_claim": "uid"}, "subject", "uid is '7'", id="subject-claim"
        ),
        pytest.param({"scope": "openid"}, {}, "rights", "holds no right: 'openid'", id="rights"),
    ],
)
def test_says_what_a_passed_check_has_found(
    claims: dict[str, object],
    rules: dict[str, object],
    check: str,
    told: str,
    factory: TokenFactory,
) -> None:
    """Why a token is accepted helps where it should not have been, or grants too little."""
    named = dataclasses.replace(factory, key=signing_key("ES256", "a"))

    assert told in details(named, named.good(**claims), **rules)[check]
