"""Signs tokens for tests, as an application or its issuer would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from itemwire_auth.keys.algorithms import SigningKey
from itemwire_auth.testing.keys import base64url
from itemwire_auth.tokens.parsed_token import TokenRules

ABSENT: Final = object()  # as the value of a claim or a header member: it is left out


@dataclass(frozen=True, slots=True)
class TokenFactory:
    """Signs tokens for a server that has `key` and follows `rules`.

    Tokens have no `iss`, `aud` or `typ` where `issuer`, `audience` or `token_type` is None.
    """

    key: SigningKey
    issuer: str | None = "https://issuer.test"
    audience: str | None = "itemwire-tests"
    token_type: str | None = "at+jwt"  # noqa: S105 - a media type
    clock: Callable[[], float] = field(default=time.time, repr=False)

    @property
    def rules(self) -> TokenRules:
        """Return the rules under which every row of BAD_TOKENS is bad.

        But for those about what these tokens do not have, see `needs_of`.
        """
        return TokenRules(
            issuer=self.issuer,
            audience=() if self.audience is None else (self.audience,),
            types=() if self.token_type is None else (self.token_type,),
        )

    @property
    def now(self) -> int:
        """Return the current time in whole seconds."""
        return int(self.clock())

    def good(self, **claims: object) -> str:
        """Return a good token, or one whose only fault is in these claims."""
        return self.sign(self.header(), self.claims(**claims))

    def header(self, **changes: object) -> dict[str, object]:
        """Return the header of a good token with these changes."""
        kid, typ = _or_absent(self.key.kid), _or_absent(self.token_type)
        return present({"alg": self.key.algorithm, "typ": typ, "kid": kid} | changes)

    def claims(self, **changes: object) -> dict[str, object]:
        """Return the claims of a good token with these changes."""
        good = {
            "iss": _or_absent(self.issuer),
            "aud": _or_absent(self.audience),
            "sub": "alice",
            "iat": self.now,
            "exp": self.now + 300,
            "scope": "items:subscribe items:publish items:history items:presence",
        }
        return present(good | changes)

    def sign(self, header: object, claims: object) -> str:
        """Return a signed token of anything: bytes as they are, all else as JSON."""
        message = f"{encode(header)}.{encode(claims)}"
        return f"{message}.{encode(self.key.sign(message.encode()))}"


def encode(part: object) -> str:
    """Return one part of a token: bytes as they are, all else as JSON."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64url(data)


def present(members: Mapping[str, object]) -> dict[str, object]:
    """Return the members that are not ABSENT."""
    return {name: value for name, value in members.items() if value is not ABSENT}


def _or_absent(value: str | None) -> object:
    return ABSENT if value is None else value
