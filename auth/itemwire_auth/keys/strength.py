"""Refuses keys that are too short, public, published, easy to guess or easy to compute."""

from __future__ import annotations

import base64
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from jwt import PyJWTError

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.algorithms import SCHEMES, PublicKey
from itemwire_auth.keys.guessing import is_guessable
from itemwire_auth.keys.published import is_published

ADVICE: Final = "make a random one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"

MIN_RSA_EXPONENT: Final = 65537  # NIST SP 800-56B section 6.4.1.1: 2**16 < e

MAX_RSA_BITS: Final = 16_384  # OpenSSL verifies with no longer one

# The odd primes up to 167. Infineon's RSALib made every prime as k·M + (65537**a mod M), where M is
# a product that contains all of these (Nemec et al., The Return of Coppersmith's Attack, CCS 2017,
# section 3; CVE-2017-15361). A modulus of two such primes is a power of 65537 modulo each of them.
_ROCA_PRIMES: Final = tuple(
    p for p in range(3, 168, 2) if all(p % divisor for divisor in range(3, p, 2))
)


def refuse_weak_secret(label: str, secret: bytes, algorithm: str) -> None:
    """Raise KeyProblem for a secret that is short, public, published or easy to guess."""
    if not secret:
        raise KeyProblem(f"{label} is empty; {ADVICE}")
    if _is_public_key(secret):
        raise KeyProblem(
            f"{label} is a public key or certificate, which everybody may know (algorithm "
            "confusion, RFC 8725 section 2.1): put asymmetric keys into a keys file as JWK"
        )
    if problem := SCHEMES[algorithm].check_key_length(secret):  # RFC 7518 section 3.2
        raise KeyProblem(f"{label} is too short: {problem} {ADVICE[0].upper()}{ADVICE[1:]}")
    if is_published(secret):
        raise KeyProblem(f"{label} is a published example that attackers try first; {ADVICE}")
    if is_guessable(secret):
        raise KeyProblem(f"{label} is easy to guess: it is a repeat or a sequence; {ADVICE}")


def refuse_weak_pair(label: str, key: bytes | PublicKey, algorithm: str) -> None:
    """Raise KeyProblem for an RSA key that can be factored; curves have no weak keys."""
    if not isinstance(key, rsa.RSAPublicKey):
        return
    numbers = key.public_numbers()
    advice = "make a new one of 2048 bits or more with exponent 65537"
    if problem := SCHEMES[algorithm].check_key_length(key):
        raise KeyProblem(f"{label} is too short: {problem} Instead, {advice}")
    if max(key.key_size, numbers.e.bit_length()) > MAX_RSA_BITS:
        raise KeyProblem(f"{label} has more than {MAX_RSA_BITS} bits; {advice}")
    if numbers.e < MIN_RSA_EXPONENT:
        raise KeyProblem(f"{label} has an exponent below 65537; {advice}")
    if is_roca(numbers.n):
        raise KeyProblem(f"{label} can be factored (ROCA, CVE-2017-15361); {advice}")


def is_roca(modulus: int) -> bool:
    """Return whether an RSA modulus can be factored because of how its primes were made."""
    return all(modulus % prime in _powers(MIN_RSA_EXPONENT, prime) for prime in _ROCA_PRIMES)


def _powers(base: int, prime: int) -> set[int]:
    """Return base**0, base**1, … modulo a prime."""
    powers = {1}
    power = base % prime
    while power not in powers:
        powers.add(power)
        power = power * base % prime
    return powers


def _is_public_key(secret: bytes) -> bool:
    """Return whether a secret is a public key in any usual form, or in base64 around one."""
    unwrapped = b"".join(secret.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        decoded = base64.b64decode(unwrapped + b"=" * (-len(unwrapped) % 4), validate=True)
    except ValueError:
        decoded = secret
    # An environment file may have kept only the first line of a PEM.
    return any(
        b"-----BEGIN" in form or _is_asymmetric(form) for form in (secret.strip(), decoded.strip())
    )


def _is_asymmetric(secret: bytes) -> bool:
    """Return whether a secret is PEM, DER, SSH or JWK: PyJWT refuses those as HMAC keys."""
    try:
        SCHEMES["HS256"].prepare_key(secret)
    except PyJWTError:
        return bool(secret)
    return False
