"""Tokens and applications that the kit is tried on."""

import pytest

from auth.keys import signing_key_from_secret
from auth.testing import TokenFactory
from tests.conftest import SECRET


@pytest.fixture(scope="session")
def tokens() -> TokenFactory:
    """Make tokens with the tests' secret."""
    return TokenFactory(signing_key_from_secret(SECRET))
