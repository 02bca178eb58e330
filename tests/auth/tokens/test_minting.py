"""Tests of tokens/minting.py: what is minted here is accepted here, and by others."""

from __future__ import annotations

import jwt
import pytest

from itemwire_auth.keys.algorithms import ALGORITHMS
from itemwire_auth.keys.static import StaticKeys, keys_from_secret, signing_key_from_secret
from itemwire_auth.scopes import Action
from itemwire_auth.testing import signing_key
from itemwire_auth.tokens.minting import mint, new_secret
from itemwire_auth.tokens.parsed_token import TokenRules
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import NOW


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_mints_what_the_verifier_accepts(algorithm: str) -> None:
    """Both sides of the product agree on every algorithm, and the key's name is in the header."""
    key = signing_key(algorithm, "a")
    rules = TokenRules(issuer="https://issuer.test", audience=("us",), types=("at+jwt",))
    verifier = TokenVerifier(StaticKeys([key.verification_key()]), rules, clock=lambda: NOW)

    token = mint(
        key,
        subject="alice",
        lifetime=60,
        scope="items:subscribe",
        items={"a": ["publish"]},
        issuer="https://issuer.test",
        audience=["us"],
        token_type="at+jwt",
        token_id="t1",
        now=NOW,
        claims={"plan": "pro"},
    )

    principal = verifier.verify(token)
    assert principal.identity == ("https://issuer.test", "alice")
    assert principal.expires_at == NOW + 60
    assert principal.token_id == "t1"
    assert principal.rights.actions_on("a") == {Action.SUBSCRIBE, Action.PUBLISH}
    assert principal.claims["plan"] == "pro"
    assert jwt.get_unverified_header(token)["kid"] == "a"


def test_mints_a_short_token() -> None:
    """What is not given is left out, but for an id by which the token can be revoked."""
    key = signing_key_from_secret(secret := new_secret())

    token = mint(key, subject="alice", lifetime=60)

    claims = TokenVerifier(keys_from_secret(secret), TokenRules()).verify(token).claims
    assert set(claims) == {"sub", "iat", "exp", "jti"}
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_gives_each_token_its_own_id() -> None:
    """To revoke one token is not to revoke its sisters."""
    key = signing_key("HS256")

    assert mint(key, subject="a", lifetime=1, now=NOW) != mint(
        key, subject="a", lifetime=1, now=NOW
    )


def test_other_claims_do_not_win() -> None:
    """A claim passed on from elsewhere cannot lengthen a life."""
    token = mint(
        signing_key("HS256"), subject="a", lifetime=60, now=NOW, claims={"exp": NOW + 10**6}
    )

    claims = jwt.decode(token, options={"verify_signature": False})

    assert claims["exp"] == NOW + 60


def test_makes_secrets_that_are_accepted_and_differ() -> None:
    """48 random bytes: longer than any HMAC here asks for."""
    secrets = {new_secret() for _ in range(20)}

    assert len(secrets) == 20
    assert all(len(secret) == 64 and keys_from_secret(secret) for secret in secrets)


def test_an_id_cannot_be_guessed() -> None:
    """96 random bits; one that is given is kept."""
    key = signing_key("HS256")
    tokens = [mint(key, subject="a", lifetime=1, token_id=given) for given in (None, "mine")]
    ids = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]

    assert [len(one["jti"]) for one in ids] == [16, 4]
