"""Decides what a principal may do with one item."""

from __future__ import annotations

from typing import Protocol

from typing_extensions import override

from auth.principal import Principal
from auth.scopes import Action


class Policy(Protocol):
    """Work out rights; an exception denies, as does the empty set."""

    async def authorize(self, principal: Principal, item_id: str) -> frozenset[Action]:
        """Tell the actions this principal may take on this item."""
        ...


class TokenRights(Policy):
    """Trust the token: what its `scope` and `items` claims grant, and nothing else."""

    @override
    async def authorize(self, principal: Principal, item_id: str) -> frozenset[Action]:
        return principal.rights.actions_on(item_id)
