"""Writes the session cookie: a token that a browser keeps and no script can read.

The rules are those of OWASP ASVS 5.0, 3.3.1 to 3.3.4, and of RFC 6265bis.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_COOKIE_BYTES: Final = 4096  # of name and value; browsers drop a longer one silently

# A browser accepts a cookie with such a name only if it is Secure: another host of the same site,
# or a page that came over http, cannot plant one.
SECURE_PREFIXES: Final = ("__host-", "__secure-")


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """How the session cookie is written; it lives no longer than the token in it."""

    name: str = "session"
    is_secure: bool = True
    clock: Callable[[], float] = time.time

    def fits(self, token: str) -> bool:
        """Return whether a browser would keep a cookie with this token."""
        return len(self.name) + len("=") + len(token) <= MAX_COOKIE_BYTES

    def holding(self, token: str, expires_at: int) -> str:
        """Return the Set-Cookie header that makes a browser keep a token until it expires."""
        return self._written(token, max(int(expires_at - self.clock()), 0))

    def cleared(self) -> str:
        """Return the Set-Cookie header that makes a browser forget the cookie."""
        return self._written("", 0)

    def _written(self, value: str, seconds: int) -> str:
        # Path and no Domain, as `__Host-` demands. Lax: a user who follows a link from elsewhere is
        # still signed in; the requests of a foreign page do not carry the cookie.
        secure = self.is_secure or self.name.lower().startswith(SECURE_PREFIXES)
        attributes = f"Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax"
        return f"{self.name}={value}; {attributes}{'; Secure' if secure else ''}"
