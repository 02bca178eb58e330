"""Tests of keys/strength.py: keys that anybody could guess or compute."""

from __future__ import annotations

import base64
import math
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.strength import is_roca, refuse_weak_secret
from itemwire_auth.testing import signing_key

# M of the paper for keys of 2048 bits: the product of the first 126 primes, 2 to 701.
PRIMES = [n for n in range(2, 702) if all(n % d for d in range(2, math.isqrt(n) + 1))]
M = math.prod(PRIMES)


def roca_prime_shape() -> int:
    """Make a number of the form k·M + (65537**a mod M), as Infineon's RSALib made its primes."""
    return (1 << 60 | secrets.randbits(60)) * M + pow(65537, secrets.randbits(200), M)


def test_the_paper_counts_126_primes() -> None:
    """The test's own M is the paper's (Nemec et al., section 2.1)."""
    assert len(PRIMES) == 126


def test_recognises_moduli_made_by_rsalib() -> None:
    """Such a modulus of 2048 bits can be factored at a cost that pays (CVE-2017-15361)."""
    modulus = roca_prime_shape() * roca_prime_shape()

    assert is_roca(modulus)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_accepts_ordinary_moduli(name: str) -> None:
    """A false alarm would keep a good server from starting; its chance is below 2**-25."""
    key = signing_key("RS256", name).key
    assert isinstance(key, RSAPrivateKey)

    assert not is_roca(key.public_key().public_numbers().n)


def test_fingerprint_is_rare_by_chance() -> None:
    """The primes are many enough: 65537 generates few of the residues of their product."""
    odd = [p for p in PRIMES if 2 < p < 168]
    chance = math.prod(len({pow(65537, a, p) for a in range(p)}) / (p - 1) for p in odd)

    assert chance < 2**-25


@pytest.mark.parametrize("spaces", range(9))
@pytest.mark.parametrize("strip", [True, False])
def test_recognises_a_public_key_in_base64_of_any_length(spaces: int, *, strip: bool) -> None:
    """Padding may have been left out; a secret in base64 is none."""
    key = signing_key("ES256", "a").key
    assert isinstance(key, EllipticCurvePrivateKey)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    hidden = base64.b64encode(pem + b" " * spaces)
    secret = base64.b64encode(secrets.token_bytes(40 + spaces))

    with pytest.raises(KeyProblem, match="public key"):
        refuse_weak_secret("it", hidden.rstrip(b"=") if strip else hidden, "HS256")
    refuse_weak_secret("it", secret.rstrip(b"=") if strip else secret, "HS256")
