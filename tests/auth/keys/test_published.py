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


@pytest.mark.parametrize(
    "secret",
    [
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        "change_this_to_a_long_random_string",
        "supersecretkeythatshouldbechanged",
        "this_is_a_secret_key_of_32_bytes",
        "thisisaverylongsecretkeyforjwtsigning",
        "your_super_secret_key_change_this_in_production",
    ],
)
def test_knows_what_tutorials_and_people_write(secret: str) -> None:
    """Attackers try these first; one more letter is another secret, though hardly a better one."""
    assert is_published(secret.encode())
    assert not is_published(secret.encode() + b"x")
