"""Lists secrets that have been published: attackers try these first."""

from __future__ import annotations

import base64
from typing import Final

# All are long enough to pass the length check, and printed in documents that people paste from.
PUBLISHED_SECRETS: Final = frozenset(
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
        # What people type when asked for 32 or 64 characters.
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


def is_published(secret: bytes) -> bool:
    """Return whether a secret is a published example, as text or as the `k` of a JWK."""
    encoded = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    return encoded in PUBLISHED_SECRETS or secret.decode("latin-1") in PUBLISHED_SECRETS
