"""Callers, and how a test asks an application's policy about them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import TypeVar

from itemwire_auth.policy_url import PolicyRules, PolicyURL
from itemwire_auth.principal import Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action
from tests.policy_server import PolicyServer

T = TypeVar("T")


def caller(subject: str = "alice", scope: str = "", **claims: object) -> Principal:
    """Return a verified caller."""
    rights = ScopeSet.of_claims(scope)
    return Principal("https://issuer.test", subject, rights, 0, claims=MappingProxyType(claims))


def with_policy(
    application: PolicyServer,
    scene: Callable[[PolicyURL], Awaitable[T]],
    rules: PolicyRules | None = None,
    clock: Callable[[], float] = lambda: 0,
) -> T:
    """Play a scene with an open policy."""

    async def play() -> T:
        async with PolicyURL(application.url, rules, clock) as policy:
            return await scene(policy)

    return asyncio.run(play())


def ask(
    application: PolicyServer, principal: Principal, rules: PolicyRules | None = None
) -> frozenset[Action]:
    """Ask once, about the item 42."""
    return with_policy(application, lambda policy: policy.authorize(principal, "42"), rules)
