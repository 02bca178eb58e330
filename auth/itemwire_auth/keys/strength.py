"""Recognises keys that anybody could guess or compute."""

from __future__ import annotations

import base64
from typing import Final

MIN_RSA_EXPONENT: Final = 65537  # NIST SP 800-56B section 6.4.1.1: 2**16 < e

# Long enough to pass every length check, and printed in documents that people paste from.
WELL_KNOWN_SECRETS: Final = frozenset(
    {
        # The examples of RFC 7515 appendix A.1 and of RFC 7520 section 3.5, as JWK members.
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
        # The FastAPI tutorial on OAuth2 with JWT.
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        # The defaults of the jwt.io debugger.
        "a-string-secret-at-least-256-bits-long",
        "a-valid-string-secret-that-is-at-least-384-bits-long",
        "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        # A Spring Security tutorial that many projects began as.
        "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
        # What a keyboard says when asked for 32 or 64 characters.
        "01234567890123456789012345678901",
        "0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789ABCDEF",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "12345678901234567890123456789012",
        "abcdefghijklmnopqrstuvwxyz123456",
        "abcdefghijklmnopqrstuvwxyz012345",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        # Placeholders.
        "change-me-change-me-change-me-change-me",
        "changeme-changeme-changeme-changeme",
        "change-this-secret-in-production",
        "change_this_to_a_long_random_string",
        "changethissecretkeyinproduction!",
        "replace-this-with-a-long-random-secret",
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "supersecretkeythatshouldbechanged",
        "this-is-a-very-long-secret-key-for-jwt",
        "this_is_a_secret_key_of_32_bytes",
        "thisisaverylongsecretkeyforjwtsigning",
        "your-256-bit-secret-your-256-bit-secret",
        "your-secret-key-change-in-production",
        "your-super-secret-key-change-this-in-production",
        "your-super-secret-jwt-key-change-this-in-production",
        "your_super_secret_key_change_this_in_production",
    }
)

# The odd primes up to 167. Infineon's RSALib made every prime as k·M + (65537**a mod M), M being a
# product that holds all of these (Nemec et al., The Return of Coppersmith's Attack, CCS 2017,
# section 3; CVE-2017-15361). A modulus of two such primes is a power of 65537 modulo each of them.
_ROCA_PRIMES: Final = tuple(
    p for p in range(3, 168, 2) if all(p % divisor for divisor in range(3, p, 2))
)


def is_well_known(secret: bytes) -> bool:
    """Tell whether a secret has been published as an example, as text or as the `k` of a JWK."""
    encoded = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    return encoded in WELL_KNOWN_SECRETS or secret.decode("latin-1") in WELL_KNOWN_SECRETS


def is_roca(modulus: int) -> bool:
    """Tell whether an RSA modulus can be factored because of how its primes were made."""
    return all(modulus % prime in _powers(MIN_RSA_EXPONENT, prime) for prime in _ROCA_PRIMES)


def _powers(base: int, prime: int) -> set[int]:
    """List base**0, base**1, … modulo a prime."""
    powers = {1}
    power = base % prime
    while power not in powers:
        powers.add(power)
        power = power * base % prime
    return powers
