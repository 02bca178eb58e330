"""Stops the clock and provides a server's keys and rules to each test, and a policy's server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from itemwire_auth.errors import InvalidToken
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.testing import TokenFactory, jwk_set, signing_key
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.policy_server import PolicyServer, policy_server

NOW = 1_800_000_000

KeysFile = Callable[..., Path]


def verifier_of(factory: TokenFactory) -> TokenVerifier:
    """Return the verifier of the server that a factory makes tokens for."""
    keys = StaticKeys([factory.key.verification_key()])
    return TokenVerifier(keys, factory.rules, clock=factory.clock)


def failed_check(factory: TokenFactory, token: str, **rules: object) -> str | None:
    """Return the check that refuses a token under changed rules; None if it is accepted."""
    changed = dataclasses.replace(factory.rules, **rules)  # type: ignore[arg-type] # fields by name
    keys = StaticKeys([factory.key.verification_key()])
    try:
        TokenVerifier(keys, changed, factory.clock).verify(token)
    except InvalidToken as error:
        return error.check
    return None


@pytest.fixture
def factory() -> TokenFactory:
    """Return a maker of tokens whose clock stands still."""
    return TokenFactory(signing_key("HS256"), clock=lambda: NOW)


@pytest.fixture
def verifier(factory: TokenFactory) -> TokenVerifier:
    """Return a verifier that accepts the good tokens of the factory."""
    return verifier_of(factory)


@pytest.fixture
def keys_file(tmp_path: Path) -> KeysFile:
    """Return a function that writes keys into a file and returns its path."""

    def write(*jwks: dict[str, object]) -> Path:
        path = tmp_path / "keys.json"
        path.write_text(jwk_set(*jwks))
        return path

    return write


@pytest.fixture
def application() -> Iterator[PolicyServer]:
    """Return an application that answers questions: everybody may subscribe, by default."""
    with policy_server() as server:
        yield server
