"""The rules for tokens, and a token as far as the checks have parsed it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Final

from itemwire_auth.keys.algorithms import VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.rights import ScopeSet
from itemwire_auth.tokens.rights_claims import RightsRules

MAX_LEEWAY: Final = 60

_DEFAULT_TYPES: Final = frozenset({None, "jwt", "at+jwt"})


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must be like on this server; lengths in characters, times in seconds."""

    issuer: str | None = None
    audience: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()
    subject_claim: str = "sub"
    rights: RightsRules = field(default_factory=RightsRules)
    types: tuple[str, ...] = ()
    leeway: float = 0
    max_lifetime: int = 30 * 24 * 3600
    max_length: int = 8192
    accepted_types: frozenset[str | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.leeway <= MAX_LEEWAY:
            raise ValueError(f"leeway must be 0 to {MAX_LEEWAY} s; for more, set the clocks right")
        accepted = frozenset(map(media_type, self.types)) if self.types else _DEFAULT_TYPES
        object.__setattr__(self, "accepted_types", accepted)


@dataclass(slots=True)
class ParsedToken:
    """A token on its way through the checks: each one sets what those after it may read."""

    text: str = field(repr=False)
    now: float
    rules: TokenRules
    keys: KeySource
    parts: tuple[str, ...] = field(init=False, repr=False)
    header: dict[str, object] = field(init=False)
    kid: str | None = field(init=False, default=None)
    key: VerificationKey = field(init=False)
    claims: dict[str, object] = field(init=False)
    subject: str = field(init=False)
    expires_at: int = field(init=False)
    issued_at: int = field(init=False)
    issuer: str | None = field(init=False)
    rights: ScopeSet = field(init=False)


def media_type(typ: str | None) -> str | None:
    """Return a normalised `typ`: media types have no case, and application/ may be left out."""
    return typ and typ.lower().removeprefix("application/")


def text_or_none(value: object) -> str | None:
    """Return a value if it is a string."""
    return value if isinstance(value, str) else None


def decode(part: str) -> bytes:
    """Return the bytes of base64url that is known to be canonical."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
