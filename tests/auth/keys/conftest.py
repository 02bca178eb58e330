"""Runs an issuer for the tests of the keys that it publishes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.auth.key_server import KeyServer, key_server
from tests.auth.keys.fetched_keys import A


@pytest.fixture
def published() -> Iterator[KeyServer]:
    """Run an issuer that publishes key A."""
    with key_server() as server:
        server.publish(A)
        yield server
