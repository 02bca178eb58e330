"""Tests of testing/keys.py: what it writes, others read."""

from __future__ import annotations

import json

import jwt
import pytest

from itemwire_auth.keys.algorithms import ALGORITHMS
from itemwire_auth.testing import jwk_set, private_jwk, public_jwk, public_pem, signing_key

ASYMMETRIC = [name for name, (kty, _) in ALGORITHMS.items() if kty != "oct"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_writes_keys_that_pyjwt_reads(algorithm: str) -> None:
    """The JWKs are right by an independent reader: it verifies what the key signed."""
    key = signing_key(algorithm, "a")
    token = jwt.encode({"sub": "a"}, key.key, algorithm, headers={"kid": "a"})

    theirs = jwt.PyJWKSet.from_json(jwk_set(public_jwk(key), private_jwk(key))).keys[0]

    assert jwt.decode(token, theirs, algorithms=[algorithm]) == {"sub": "a"}
    assert theirs.key_id == "a"


def test_makes_one_key_for_one_name() -> None:
    """RSA keys are slow to make; but two names are two keys, as a rotation needs."""
    assert signing_key("ES256", "a") is signing_key("ES256", "a")
    assert public_jwk(signing_key("ES256", "a"))["x"] != public_jwk(signing_key("ES256", "b"))["x"]


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_half_holds_nothing_private(algorithm: str) -> None:
    """What a test publishes is what a server would publish."""
    key = signing_key(algorithm, "a")

    assert set(private_jwk(key)) > set(public_jwk(key))
    assert b"PRIVATE" not in public_pem(key)
    assert "d" not in json.loads(jwk_set(public_jwk(key)))["keys"][0]


def test_a_secret_has_no_public_half() -> None:
    """A test that asks for it is mistaken."""
    with pytest.raises(TypeError, match="no public half"):
        public_pem(signing_key("HS256"))
