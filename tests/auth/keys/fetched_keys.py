"""Keys that a test fetches from an issuer of its own, and the clock that it sets."""

from __future__ import annotations

import asyncio

from itemwire_auth.keys.fetching import Fetching
from itemwire_auth.keys.jwks import JWKSKeys
from itemwire_auth.testing import signing_key
from tests.auth.key_server import KeyServer

A = signing_key("ES256", "a")
B = signing_key("EdDSA", "b")


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def keys_of(published: KeyServer, clock: Clock | None = None, **options: float) -> JWKSKeys:
    """Fetch from a server of this machine, as only a test may."""
    fetching = Fetching(allow_http=True, **options)  # type: ignore[arg-type] # times only
    return JWKSKeys(published.url(), fetching, clock=clock or Clock())


def refreshed(keys: JWKSKeys) -> bool:
    """Fetch once."""
    return asyncio.run(keys.refresh())
