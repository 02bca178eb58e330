"""Tests of auth/policies.py."""

from __future__ import annotations

import asyncio

import pytest

from auth.policies import TokenRights
from auth.principal import Principal
from auth.scopes import Action, ScopeSet


@pytest.mark.parametrize(
    ("item_id", "actions"),
    [
        pytest.param("42", {Action.PUBLISH, Action.SUBSCRIBE}, id="named"),
        pytest.param("43", {Action.SUBSCRIBE}, id="other"),
    ],
)
def test_grants_what_the_token_says(item_id: str, actions: set[Action]) -> None:
    """The default policy adds nothing to the token and takes nothing away."""
    rights = ScopeSet.of_claims("items:subscribe", {"42": ["publish"]})
    principal = Principal(None, "alice", rights, 0)

    assert asyncio.run(TokenRights().authorize(principal, item_id)) == actions


def test_grants_nothing_to_a_token_without_rights() -> None:
    """To be known is not to be allowed."""
    principal = Principal(None, "alice", ScopeSet(), 0)

    assert asyncio.run(TokenRights().authorize(principal, "42")) == frozenset()
