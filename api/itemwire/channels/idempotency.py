"""Idempotency keys as an engine stores them: each caller has a key space of its own."""

import hashlib
from typing import Final

from itemwire_auth.principal import Identity

KEY_BYTES: Final = 16  # too many bits to search for a second caller and key with the same digest


NOBODY: Final[Identity] = (None, "")
"""Stands for the application's own code: no caller has an empty subject."""


def key_of(publisher: Identity, key: str) -> str:
    """Return the engine's key for a caller's idempotency key: 32 hexadecimal digits.

    With one key space for all, a caller could use up a key before another caller does, whose
    message would then be answered as stored but never be stored. The digest is the same on every
    node and in every version of Python.
    """
    whole = ascii((*publisher, key)).encode()
    return hashlib.blake2b(whole, digest_size=KEY_BYTES).hexdigest()
