"""Makes keys for tests, and writes them as JWK and PEM."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from itemwire_auth.keys.algorithms import ALGORITHMS, PrivateKey, SigningKey
from itemwire_auth.keys.jwk import JWK

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi"})


@cache
def signing_key(algorithm: str, kid: str | None = None) -> SigningKey:
    """Return a key; equal arguments give the same one, because making an RSA key is slow."""
    kind, curve = ALGORITHMS[algorithm]
    return SigningKey(kid, algorithm, _GENERATE[kind, curve]())


def private_jwk(key: SigningKey) -> JWK:
    """Return a key as a JWK (RFC 7518 section 6) with its private members."""
    kind, curve = ALGORITHMS[key.algorithm]
    members = {"kty": kind, "crv": curve, "alg": key.algorithm, "kid": key.kid}
    return {name: value for name, value in members.items() if value} | _material(key.key)


def public_jwk(key: SigningKey) -> JWK:
    """Return the public half of a key as a JWK."""
    private = private_jwk(key)
    return {name: value for name, value in private.items() if name not in _PRIVATE_MEMBERS}


def jwk_set(*jwks: JWK) -> str:
    """Return the text of a keys file."""
    return json.dumps({"keys": jwks})


def public_pem(key: SigningKey) -> bytes:
    """Return the public half of a pair as PEM: what an attacker may know."""
    public = key.verification_key().key
    if isinstance(public, bytes):
        raise TypeError("a secret has no public half")
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


_GENERATE: Final[dict[tuple[str, str | None], Callable[[], bytes | PrivateKey]]] = {
    ("oct", None): lambda: secrets.token_bytes(64),
    ("RSA", None): lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    ("EC", "P-256"): lambda: ec.generate_private_key(ec.SECP256R1()),
    ("EC", "P-384"): lambda: ec.generate_private_key(ec.SECP384R1()),
    ("EC", "P-521"): lambda: ec.generate_private_key(ec.SECP521R1()),
    ("OKP", "Ed25519"): ed25519.Ed25519PrivateKey.generate,
}


def _material(key: bytes | PrivateKey) -> JWK:
    """Return the JWK members that the key itself consists of."""
    if isinstance(key, bytes):
        return {"k": base64url(key)}
    if isinstance(key, rsa.RSAPrivateKey):
        rsa_numbers = key.private_numbers()
        public = rsa_numbers.public_numbers
        names = {"n": public.n, "e": public.e, "d": rsa_numbers.d, "p": rsa_numbers.p}
        names |= {"q": rsa_numbers.q, "dp": rsa_numbers.dmp1, "dq": rsa_numbers.dmq1}
        return {name: _integer(n) for name, n in (names | {"qi": rsa_numbers.iqmp}).items()}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers, size = key.private_numbers(), (key.key_size + 7) // 8
        point = {"x": numbers.public_numbers.x, "y": numbers.public_numbers.y}
        return {
            name: _integer(n, size) for name, n in (point | {"d": numbers.private_value}).items()
        }
    return {
        "x": base64url(key.public_key().public_bytes_raw()),
        "d": base64url(key.private_bytes_raw()),
    }


def _integer(number: int, size: int = 0) -> str:
    """Return an integer in base64url, big-endian; a coordinate has a fixed size."""
    return base64url(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def base64url(data: bytes) -> str:
    """Return bytes as base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
