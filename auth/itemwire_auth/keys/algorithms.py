"""The algorithms that sign and verify tokens, and keys bound to one of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

# RFC 8725 section 3.1: one key, one algorithm, and the key says which, never the token. Each row
# says what `kty` and `crv` the algorithm needs; the first row that fits a key without `alg` is its
# algorithm. There is no row for `none`, and none for ES256K.
ALGORITHMS: Final[dict[str, tuple[str, str | None]]] = {
    "HS256": ("oct", None),
    "HS384": ("oct", None),
    "HS512": ("oct", None),
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}

# The algorithms whose keys may be published: a published secret would be everybody's.
PUBLIC_ALGORITHMS: Final = tuple(name for name, (kind, _) in ALGORITHMS.items() if kind != "oct")

SCHEMES: Final = {name: get_default_algorithms()[name] for name in ALGORITHMS}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that verifies tokens, parsed once and bound to its one algorithm."""

    kid: str | None
    algorithm: str
    key: bytes | PublicKey = field(repr=False)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether the signature over the message was made with this key."""
        return SCHEMES[self.algorithm].verify(message, self.key, signature)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs tokens: a secret, or the private half of a pair."""

    kid: str | None
    algorithm: str
    key: bytes | PrivateKey = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """Return the signature over the message in the form of RFC 7518 section 3."""
        return SCHEMES[self.algorithm].sign(message, self.key)

    def verification_key(self) -> VerificationKey:
        """Return the key that verifies what this one signs."""
        return VerificationKey(self.kid, self.algorithm, public_half(self.key))


def public_half(key: bytes | PrivateKey | PublicKey) -> bytes | PublicKey:
    """Return the part of a key that verifies; of a secret that is the whole."""
    return key.public_key() if isinstance(key, PrivateKey) else key
