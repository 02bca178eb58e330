"""Tokens and applications for the tests of the kit."""

import pytest

from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from tests.conftest import SECRET


@pytest.fixture(scope="session")
def tokens() -> TokenFactory:
    """Make tokens with the tests' secret."""
    return TokenFactory(signing_key_from_secret(SECRET))
