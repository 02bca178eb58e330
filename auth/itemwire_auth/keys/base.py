"""The interface of a source of verification keys."""

from __future__ import annotations

from typing import Protocol

from itemwire_auth.keys.algorithms import VerificationKey


class KeySource(Protocol):
    """Where verification keys come from."""

    def find(self, kid: str | None) -> VerificationKey | None:
        """Return the key with exactly this `kid`, or None; nothing is waited for."""
        ...

    async def refresh_for(self, _kid: str | None, /) -> bool:
        """Look elsewhere for a key that was not found; return whether `find` may know it now."""
        return False
