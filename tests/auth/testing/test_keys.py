"""Tests of testing/keys.py: what it writes, others read."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from itemwire_auth.keys.algorithms import ALGORITHMS, SigningKey
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


# RFC 7518 section 6 and RFC 8037 section 2: the members of a public key, and those of a private.
MEMBERS = {
    "oct": ("", "k"),
    "RSA": ("n e", "d p q dp dq qi"),
    "EC": ("crv x y", "d"),
    "OKP": ("crv x", "d"),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_writes_the_members_that_the_standard_names(algorithm: str) -> None:
    """All of them, in the private form; no others, and nothing private, in the public one."""
    kty = ALGORITHMS[algorithm][0]
    public, private = (set(members.split()) for members in MEMBERS[kty])
    key = signing_key(algorithm, "a")

    assert private_jwk(key).keys() == {"kty", "alg", "kid"} | public | private
    if kty != "oct":
        assert public_jwk(key).keys() == {"kty", "alg", "kid"} | public


def test_makes_keys_of_the_usual_size() -> None:
    """A test with a smaller key would be refused at start-up, one with a larger key be slow."""
    rsa_key, secret = signing_key("RS256", "a").key, signing_key("HS256", "a").key

    assert isinstance(rsa_key, rsa.RSAPrivateKey)
    assert (rsa_key.key_size, rsa_key.public_key().public_numbers().e) == (2048, 65537)
    assert isinstance(secret, bytes)
    assert len(secret) == 64


def test_a_number_of_rsa_has_no_zeros_before_it() -> None:
    """RFC 7518 section 6.3.1.1: as few bytes as hold it."""
    jwk = public_jwk(signing_key("RS256", "a"))

    assert len(str(jwk["n"])) == 342  # 256 bytes
    assert jwk["e"] == "AQAB"


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_a_coordinate_has_the_size_of_its_curve(algorithm: str) -> None:
    """Also one that begins with zeros (RFC 7518 section 6.2.1.2)."""
    size = {"ES256": 43, "ES384": 64, "ES512": 88}[algorithm]
    key = SigningKey("a", algorithm, ec.derive_private_key(1, _curve(algorithm)))

    assert {len(str(private_jwk(key)[name])) for name in ("x", "y", "d")} == {size}


def _curve(algorithm: str) -> ec.EllipticCurve:
    key = signing_key(algorithm).key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.curve
