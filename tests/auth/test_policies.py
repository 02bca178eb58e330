"""Tests of policies.py: what the token alone grants, and why a grant is not enough."""

from __future__ import annotations

import asyncio

import pytest

from itemwire_auth.errors import AuthError, Forbidden, ScopeMissing
from itemwire_auth.policies import TokenRights, shortfall
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action


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


@pytest.mark.parametrize(
    ("scope", "can", "reason"),
    [
        pytest.param("items:publish", {Action.PUBLISH}, ScopeMissing, id="nowhere-by-token"),
        pytest.param("items:9:subscribe", set(), Forbidden, id="elsewhere-by-token"),
        pytest.param("", {Action.PUBLISH}, Forbidden, id="nowhere-by-another"),
        pytest.param("items:publish", set(), Forbidden, id="taken-by-another"),
        pytest.param("items:publish", {Action.SUBSCRIBE}, None, id="given-by-another"),
    ],
)
def test_says_whose_rights_are_missing(
    scope: str, can: set[Action], reason: type[AuthError] | None
) -> None:
    """`scope_missing` is about the token; where a policy has decided, another would not help."""
    principal = Principal(None, "alice", ScopeSet.of_claims(scope, None), 0)
    lacking = shortfall(Grant(principal, "42", frozenset(can)), [Action.SUBSCRIBE])

    assert (None if lacking is None else type(lacking)) is reason
