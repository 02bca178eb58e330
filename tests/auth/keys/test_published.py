"""Tests of keys/published.py: secrets that everybody can read."""

from __future__ import annotations

import base64

import pytest

from itemwire_auth.keys.published import PUBLISHED_SECRETS, is_published


@pytest.mark.parametrize("secret", sorted(PUBLISHED_SECRETS))
def test_lists_only_secrets_that_pass_the_length_check(secret: str) -> None:
    """A shorter one is refused anyway: a row that never matters is clutter."""
    assert len(secret) >= 32
    assert is_published(secret.encode())


def test_recognises_a_secret_written_as_jwk() -> None:
    """The RFC's own example key is public in either spelling."""
    example = "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"
    decoded = base64.urlsafe_b64decode(example + "=")

    assert is_published(decoded)
    assert not is_published(decoded[::-1])
