"""Holds the clock still and gives each test a server's keys and rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.testing import TokenFactory, jwk_set, signing_key
from itemwire_auth.tokens.verifier import TokenVerifier

NOW = 1_800_000_000

KeysFile = Callable[..., Path]


def verifier_of(factory: TokenFactory) -> TokenVerifier:
    """Give the verifier of the server that a factory makes tokens for."""
    keys = StaticKeys([factory.key.verification_key()])
    return TokenVerifier(keys, factory.rules, clock=factory.clock)


@pytest.fixture
def factory() -> TokenFactory:
    """Give a maker of tokens whose clock stands still."""
    return TokenFactory(signing_key("HS256"), clock=lambda: NOW)


@pytest.fixture
def verifier(factory: TokenFactory) -> TokenVerifier:
    """Give a verifier that accepts what the factory makes well."""
    return verifier_of(factory)


@pytest.fixture
def keys_file(tmp_path: Path) -> KeysFile:
    """Give a function that writes keys into a file and tells its path."""

    def write(*jwks: dict[str, object]) -> Path:
        path = tmp_path / "keys.json"
        path.write_text(jwk_set(*jwks))
        return path

    return write
