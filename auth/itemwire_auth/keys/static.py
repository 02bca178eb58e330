"""Loads the keys that verify and sign tokens, and refuses weak ones at start-up."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import PyJWK, PyJWTError
from jwt.algorithms import get_default_algorithms

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.strength import MIN_RSA_EXPONENT, is_roca, is_well_known
from itemwire_auth.strict_json import parse_object

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
JWK: TypeAlias = dict[str, object]

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
ADVICE: Final = "make a random one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"

_SCHEMES: Final = {name: get_default_algorithms()[name] for name in ALGORITHMS}
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_KEY_MATERIAL: Final = ("k", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y")


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that verifies tokens, parsed once and bound to its one algorithm."""

    kid: str | None
    algorithm: str
    key: bytes | PublicKey = field(repr=False)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Tell whether the signature over the message was made with this key."""
        return _SCHEMES[self.algorithm].verify(message, self.key, signature)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs tokens: a secret, or the private half of a pair."""

    kid: str | None
    algorithm: str
    key: bytes | PrivateKey = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """Give the signature over the message in the form of RFC 7518 section 3."""
        return _SCHEMES[self.algorithm].sign(message, self.key)

    def verification_key(self) -> VerificationKey:
        """Give the key that verifies what this one signs."""
        return VerificationKey(self.kid, self.algorithm, _public_half(self.key))


class StaticKeys:
    """A fixed set of keys, found by the exact text of their `kid`."""

    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        listed = list(keys)
        _refuse_mixed_families(listed)
        _refuse_ambiguous_kids(listed)
        self._only = listed[0] if len(listed) == 1 else None
        self._by_kid = {key.kid: key for key in listed}

    def find(self, kid: str | None) -> VerificationKey | None:
        """Find the key a token names; a token that names none means the only key there is."""
        # A kid that is not ours never falls back to another key: that would let a retired key's
        # tokens be tried against the new one, and a guess stand for an answer.
        return self._only if kid is None else self._by_kid.get(kid)

    async def refresh_for(self, _kid: str | None, /) -> bool:
        """Tell that there is nowhere else to look for a key."""
        return False

    def renewed(self, keys: Iterable[VerificationKey]) -> StaticKeys:
        """Give the set of these keys, in which one that is here already is the same object.

        A token that was verified is known again while `find` gives the object that verified it.
        """
        return StaticKeys(
            known if (known := self._by_kid.get(key.kid)) == key else key for key in keys
        )

    def __len__(self) -> int:
        return len(self._by_kid)

    def __iter__(self) -> Iterator[VerificationKey]:
        return iter(self._by_kid.values())


def keys_from_secret(secret: str) -> StaticKeys:
    """Make a set of one HS256 key, or raise KeyProblem if the secret is weak."""
    return StaticKeys([signing_key_from_secret(secret).verification_key()])


def keys_from_file(path: Path, algorithms: Collection[str] = ALGORITHMS) -> StaticKeys:
    """Load a JWK Set file, or raise KeyProblem naming the key that will not do."""
    return StaticKeys(
        verification_key(label, jwk, algorithms) for label, jwk in _read_set_file(path)
    )


def verification_key(
    label: str, jwk: JWK, algorithms: Collection[str] = ALGORITHMS
) -> VerificationKey:
    """Parse a key that verifies tokens with one of the algorithms, or raise KeyProblem."""
    if not _is_for("verify", jwk):
        raise KeyProblem(
            f'{label} is not for tokens: use must be "sig" or absent, key_ops hold "verify" or '
            "be absent; correct them or leave the key out"
        )
    kid, algorithm, key = _parse_jwk(jwk, label, algorithms)
    return VerificationKey(kid, algorithm, _public_half(key))


def read_set(data: bytes, source: str) -> list[tuple[str, JWK]]:
    """Read a JWK Set (RFC 7517 section 5): each key with a label for the operator."""
    try:
        keys = parse_object(data).get("keys")
    except ValueError as error:
        raise KeyProblem(f"{source} must be a JWK Set, but {error}") from None
    if not isinstance(keys, list) or not keys:
        raise KeyProblem(f'{source} must be a JWK Set with at least one key: {{"keys": [{{…}}]}}')
    for number, jwk in enumerate(keys, 1):
        if not isinstance(jwk, dict):
            raise KeyProblem(f"key {number} of {source} is not a JSON object")
    return [
        (f"key {number} of {source} (kid {jwk.get('kid')!r})", jwk)
        for number, jwk in enumerate(keys, 1)
    ]


def signing_key_from_secret(secret: str) -> SigningKey:
    """Make an HS256 key that signs, or raise KeyProblem if the secret is weak."""
    try:
        key = secret.encode("utf-8")
    except UnicodeEncodeError:
        raise KeyProblem(f"the secret is not valid text; {ADVICE}") from None
    _refuse_weak_secret("the secret", key, "HS256")
    return SigningKey(None, "HS256", key)


def signing_key_from_file(path: Path, kid: str | None = None) -> SigningKey:
    """Load the key of a JWK Set file that can sign; `kid` says which if there are several."""
    keys = []
    for label, jwk in _read_set_file(path):
        if _is_for("sign", jwk) and kid in (None, jwk.get("kid")):
            name, algorithm, key = _parse_jwk(jwk, label)
            if isinstance(key, bytes | PrivateKey):
                keys.append(SigningKey(name, algorithm, key))
    if not keys:
        wanted = "no key" if kid is None else f"no key with kid {kid!r}"
        raise KeyProblem(f"{path} has {wanted} that can sign: it needs a JWK with `k` or `d`")
    if len(keys) > 1:
        names = ", ".join(str(key.kid) for key in keys)
        raise KeyProblem(f"{path} has several keys that can sign: name one of {names}")
    return keys[0]


def _read_set_file(path: Path) -> list[tuple[str, JWK]]:
    """Read a JWK Set from a file."""
    source = f"the keys file {path}"
    try:
        return read_set(path.read_bytes(), source)
    except OSError as error:
        raise KeyProblem(f"cannot read {source}: {error.strerror}") from error


def _is_for(operation: str, jwk: JWK) -> bool:
    """Tell whether a key is meant for the operation (RFC 7517 sections 4.2 and 4.3)."""
    operations = jwk.get("key_ops", [operation])
    meant = isinstance(operations, list) and operation in operations
    return meant and jwk.get("use", "sig") == "sig"


def _parse_jwk(
    jwk: JWK, label: str, algorithms: Collection[str] = ALGORITHMS
) -> tuple[str | None, str, bytes | PrivateKey | PublicKey]:
    """Check and parse one key: its name, its algorithm, and what it is made of."""
    kid = jwk.get("kid")
    if "kid" in jwk and not (isinstance(kid, str) and kid):
        raise KeyProblem(f"{label} has a kid that is not a non-empty string")
    algorithm = _algorithm_of(jwk, label, algorithms)
    key = _parse_material(jwk, label, algorithm)
    if isinstance(key, bytes):
        _refuse_weak_secret(label, key, algorithm)
    else:
        _refuse_weak_pair(label, _public_half(key), algorithm)
    return kid if isinstance(kid, str) else None, algorithm, key


def _algorithm_of(jwk: JWK, label: str, algorithms: Collection[str]) -> str:
    """Tell the one algorithm of a key: its `alg`, or the first allowed one that its type has."""
    shape = (jwk.get("kty"), jwk.get("crv"))
    fitting = [name for name, needed in ALGORITHMS.items() if needed == shape]
    if not fitting:
        raise KeyProblem(
            f"{label} is of no supported type: RSA, oct, EC (P-256, P-384, P-521) or Ed25519"
        )
    allowed = [name for name in algorithms if name in fitting]
    algorithm = jwk.get("alg", next(iter(allowed), None))
    if "alg" in jwk and algorithm not in fitting:
        raise KeyProblem(f"{label} has an alg that its type cannot have: use {', '.join(fitting)}")
    if algorithm not in allowed:
        raise KeyProblem(f"{label} is for none of the algorithms allowed: {', '.join(algorithms)}")
    return str(algorithm)


def _parse_material(jwk: JWK, label: str, algorithm: str) -> bytes | PrivateKey | PublicKey:
    """Parse what a key is made of."""
    for name in _KEY_MATERIAL:
        value = jwk.get(name, "A")
        # A lenient decoder skips what it does not know, and a long text becomes a short key.
        if not (isinstance(value, str) and _BASE64URL.fullmatch(value)):
            raise KeyProblem(f"{label} has a member {name} that is not base64url")
    try:
        key: bytes | PrivateKey | PublicKey = PyJWK(jwk, algorithm).key
    except (PyJWTError, KeyError, TypeError, ValueError):
        # PyJWT shows the whole key in some messages: neither they nor the cause may travel on.
        raise KeyProblem(
            f"{label} is damaged: its members do not make a key; export it again"
        ) from None
    return key


def _refuse_weak_secret(label: str, secret: bytes, algorithm: str) -> None:
    """Refuse secrets that are short, public or published."""
    if not secret:
        raise KeyProblem(f"{label} is empty; {ADVICE}")
    if _is_public(secret):
        raise KeyProblem(
            f"{label} is a public key or certificate, which everybody may know (algorithm "
            "confusion, RFC 8725 section 2.1): put asymmetric keys into a keys file as JWK"
        )
    if problem := _SCHEMES[algorithm].check_key_length(secret):  # RFC 7518 section 3.2
        raise KeyProblem(f"{label} is too short: {problem} {ADVICE[0].upper()}{ADVICE[1:]}")
    if is_well_known(secret):
        raise KeyProblem(f"{label} is a published example that attackers try first; {ADVICE}")


def _refuse_weak_pair(label: str, key: bytes | PublicKey, algorithm: str) -> None:
    """Refuse RSA keys that can be factored or misused; the curves have no weak keys."""
    if not isinstance(key, rsa.RSAPublicKey):
        return
    numbers = key.public_numbers()
    advice = "make a new one of 2048 bits or more with exponent 65537"
    if problem := _SCHEMES[algorithm].check_key_length(key):
        raise KeyProblem(f"{label} is too short: {problem} Instead, {advice}")
    if numbers.e < MIN_RSA_EXPONENT:
        raise KeyProblem(f"{label} has an exponent below 65537; {advice}")
    if is_roca(numbers.n):
        raise KeyProblem(f"{label} can be factored (ROCA, CVE-2017-15361); {advice}")


def _is_public(secret: bytes) -> bool:
    """Tell whether a secret is a public key in any usual form, base64 around it included."""
    unwrapped = b"".join(secret.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        decoded = base64.b64decode(unwrapped + b"=" * (-len(unwrapped) % 4), validate=True)
    except ValueError:
        decoded = secret
    # An environment file may have kept the first line of a PEM only.
    return any(
        b"-----BEGIN" in form or _is_asymmetric(form) for form in (secret.strip(), decoded.strip())
    )


def _is_asymmetric(secret: bytes) -> bool:
    """Ask PyJWT whether a secret is PEM, DER, SSH or JWK; it refuses those as HMAC keys."""
    try:
        _SCHEMES["HS256"].prepare_key(secret)
    except PyJWTError:
        return bool(secret)
    return False


def _public_half(key: bytes | PrivateKey | PublicKey) -> bytes | PublicKey:
    """Give the part of a key that verifies; for a secret that is all of it."""
    return key.public_key() if isinstance(key, PrivateKey) else key


def _refuse_mixed_families(keys: list[VerificationKey]) -> None:
    """Refuse secrets and public keys in one set: half of every algorithm confusion attack."""
    if len({isinstance(key.key, bytes) for key in keys}) > 1:
        raise KeyProblem("the key set mixes secrets (oct) and public keys: use one kind only")


def _refuse_ambiguous_kids(keys: list[VerificationKey]) -> None:
    """Refuse sets in which a token could not say which key it means."""
    kids = [key.kid for key in keys]
    if len(keys) > 1 and None in kids:
        raise KeyProblem(
            f"key {kids.index(None) + 1} of {len(keys)} has no kid: give each key its own"
        )
    if repeated := {kid for kid in kids if kids.count(kid) > 1}:
        raise KeyProblem(f"the key set has a kid twice: {sorted(map(str, repeated))}; rename one")
