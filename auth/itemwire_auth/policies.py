"""Policies: what a principal may do with one item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from itemwire_auth.errors import AuthError, Forbidden, ScopeMissing
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action


class Policy(Protocol):
    """Decides rights; an exception denies, and so does the empty set."""

    async def authorize(self, principal: Principal, item_id: str) -> frozenset[Action]:
        """Return the actions that this principal may take on this item."""
        ...


class TokenRights(Policy):
    """Grants what the token's `scope` and `items` claims grant, and nothing else."""

    @override
    async def authorize(self, principal: Principal, item_id: str) -> frozenset[Action]:
        return principal.rights.actions_on(item_id)


def shortfall(grant: Grant, required: Sequence[Action]) -> AuthError | None:
    """Return why a grant does not have all required actions, or None if it has.

    If no action is required, any action in the grant will do. The reason is ScopeMissing only if
    a token with more rights would help: the caller may do this on no item at all, and the token
    decides, not an application's own rule.
    """
    missing = [action for action in required if action not in grant.can]
    if grant.can and not missing:
        return None
    missing = missing or list(Action)
    rights = grant.principal.rights
    is_by_token = rights.is_of_token and grant.can == rights.actions_on(grant.item_id)
    elsewhere = any(rights.has(action) for action in missing)
    reason = ScopeMissing if is_by_token and not elsewhere else Forbidden
    return reason(f"{grant.principal.subject!r} is not granted {', '.join(missing)} here")
