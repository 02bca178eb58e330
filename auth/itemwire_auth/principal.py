"""Describes who is on the other end, once trusted, and what they may do with one item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from itemwire_auth.scopes import Action, ScopeSet


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller."""

    issuer: str | None
    subject: str
    rights: ScopeSet
    expires_at: int
    token_id: str | None = None
    claims: Mapping[str, object] = field(default_factory=dict, repr=False)
    issued_at: int = 0  # of a token that does not say: as old as any

    @property
    def identity(self) -> tuple[str | None, str]:
        """Tell callers apart: a subject is unique within its issuer only (RFC 7519 4.1.2)."""
        return self.issuer, self.subject

    @property
    def session(self) -> str | None:
        """Name the login that the token comes from, if its issuer does (OpenID Connect `sid`)."""
        sid = self.claims.get("sid")  # looked at when something is revoked, not at a handshake
        return sid if isinstance(sid, str) else None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a principal may do with one item."""

    principal: Principal
    item_id: str
    can: frozenset[Action]

    def allows(self, action: Action) -> bool:
        """Tell whether the action is granted."""
        return action in self.can


def frozen(value: object) -> object:
    """Give a claim's value with lists and objects that cannot be changed."""
    if isinstance(value, dict):
        return MappingProxyType({name: frozen(member) for name, member in value.items()})
    return tuple(map(frozen, value)) if isinstance(value, list) else value
