"""Describes a verified caller, and what that caller may do with one item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias, cast

from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action

ALL_ACTIONS: Final = frozenset(Action)

NO_EXPIRY: Final = 253_402_300_799
"""Stands for no expiry: the last second of the year 9999, which every date library can hold."""

ANONYMOUS: Final = "anonymous:"
"""Begins the issuer of callers without a credential; their address follows."""

Identity: TypeAlias = tuple[str | None, str]
"""Issuer and subject: a subject is unique within its issuer only (RFC 7519 4.1.2)."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller; `expires_at` and `issued_at` are Unix times in seconds."""

    issuer: str | None
    subject: str
    rights: ScopeSet
    expires_at: int
    token_id: str | None = None
    claims: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    issued_at: int = 0  # without `iat` a token counts as older than every revocation

    @property
    def identity(self) -> Identity:
        """Return what tells this caller from every other one."""
        return self.issuer, self.subject

    @property
    def is_anonymous(self) -> bool:
        """Return whether the caller has shown no credential, and may do no more than subscribe."""
        return not self.subject and self.issuer is not None and self.issuer.startswith(ANONYMOUS)

    @property
    def session(self) -> str | None:
        """Return the login this token belongs to (OpenID Connect `sid`), if the issuer names it."""
        # Read when something is revoked, not at a handshake.
        return identifier(self.claims.get("sid"))


@dataclass(frozen=True, slots=True)
class Grant:
    """What a principal may do with one item, and the `info` that its members get of it.

    Actions may be given as any collection of their names. Raises TypeError for what is no
    principal, item id or collection, and ValueError for what is the name of no action: an
    application makes grants of its own, and a wrong one must fail where it is made.
    """

    principal: Principal
    item_id: str
    can: frozenset[Action]
    info: bytes | None = None  # the JSON text of an object, as `written_info` returns it

    def __post_init__(self) -> None:
        principal, item_id = cast("object", self.principal), cast("object", self.item_id)
        if not isinstance(principal, Principal) or not isinstance(item_id, str):
            raise TypeError("a grant is of a Principal, and for an item id")
        if isinstance(self.can, str):  # a text has each of its parts "in" it
            raise TypeError("a grant takes a collection of actions, not a text")
        if type(self.can) is not frozenset or not self.can <= ALL_ACTIONS:
            object.__setattr__(self, "can", frozenset(map(Action, self.can)))

    def allows(self, action: Action) -> bool:
        """Return whether the action is granted."""
        return action in self.can

    def fits(self, item_id: str, identity: Identity, *actions: Action) -> bool:
        """Return whether it lets this caller take all of these actions on this item.

        Every place that acts on a grant asks this. An application may replace the dependency that
        makes grants, so a grant may be about another item or another caller.
        """
        return (
            self.item_id == item_id
            and self.principal.identity == identity
            and all(action in self.can for action in actions)
        )


def identifier(value: object) -> str | None:
    """Return a name that an issuer wrote as a string, or as a whole number; None for all else."""
    if isinstance(value, str):
        return value
    # Many applications number their users, and write `"sub": 42` against RFC 7519 section 4.1.2.
    return str(value) if type(value) is int else None


def frozen(value: object) -> object:
    """Return a claim's value with every object and list in it made read-only."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return MappingProxyType({name: frozen(member) for name, member in members.items()})
    return tuple(map(frozen, cast("list[object]", value))) if isinstance(value, list) else value
