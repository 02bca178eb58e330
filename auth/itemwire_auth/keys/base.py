"""The interface of a source of verification keys."""

from __future__ import annotations

from typing import Protocol

from itemwire_auth.keys.algorithms import VerificationKey


class KeySource(Protocol):
    """Where verification keys come from."""

    @property
    def has_keys(self) -> bool:
        """Return whether there is any key: without one no token can be judged."""
        return True

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Return the algorithm of each key that is there now."""
        return ()

    def find(self, kid: str | None, algorithm: str | None = None, /) -> VerificationKey | None:
        """Return the key with exactly this `kid`, or None; nothing is waited for.

        `algorithm` chooses where several keys share the `kid`, and nowhere else.
        """
        ...

    async def refresh_for(self, _kid: str | None, /) -> bool:
        """Look elsewhere for a key that was not found; return whether `find` may know it now.

        Raises Unavailable if nobody can say whether there is such a key.
        """
        return False
