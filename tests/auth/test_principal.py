"""Tests of principal.py: what identifies a caller, and what a grant allows."""

from __future__ import annotations

import pytest

from itemwire_auth.principal import Grant, Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action


def test_two_issuers_make_two_identities() -> None:
    """The same subject of another issuer is another person (requirement 55)."""
    ours = Principal("https://a.test", "alice", ScopeSet(), 0)
    theirs = Principal("https://b.test", "alice", ScopeSet(), 0)

    assert ours.identity != theirs.identity
    assert ours.identity == Principal("https://a.test", "alice", ScopeSet(), 99).identity


def test_does_not_show_its_claims() -> None:
    """Claims may hold private data; a principal ends up in logs."""
    principal = Principal(None, "alice", ScopeSet(), 0, claims={"email": "alice@example.com"})

    assert "example.com" not in repr(principal)


@pytest.mark.parametrize(
    ("claims", "session"),
    [({"sid": "s1"}, "s1"), ({}, None), ({"sid": 7}, "7"), ({"sid": ["s1"]}, None)],
    ids=["sid", "none", "number", "of-another-kind"],
)
def test_names_the_login_its_token_comes_from(
    claims: dict[str, object], session: str | None
) -> None:
    """OpenID Connect calls it `sid`; most tokens have none (requirement 70)."""
    assert Principal(None, "alice", ScopeSet(), 0, claims=claims).session == session


def test_a_grant_allows_what_it_lists() -> None:
    """A grant is one item's rights, whatever the principal may do elsewhere."""
    principal = Principal(None, "alice", ScopeSet.of_claims("items:publish"), 0)
    grant = Grant(principal, "42", frozenset({Action.SUBSCRIBE}))

    assert grant.allows(Action.SUBSCRIBE)
    assert not grant.allows(Action.PUBLISH)


@pytest.mark.parametrize(
    ("item_id", "identity", "actions", "fits"),
    [
        pytest.param("42", (None, "alice"), [Action.SUBSCRIBE], True, id="all of it"),
        pytest.param("42", (None, "alice"), [], True, id="no action asked"),
        pytest.param("43", (None, "alice"), [Action.SUBSCRIBE], False, id="another item"),
        pytest.param("42", (None, "bob"), [Action.SUBSCRIBE], False, id="another caller"),
        pytest.param("42", ("i", "alice"), [Action.SUBSCRIBE], False, id="another issuer"),
        pytest.param("42", (None, "alice"), [Action.PUBLISH], False, id="another action"),
        pytest.param("42", (None, "alice"), list(Action), False, id="one action is missing"),
    ],
)
def test_a_grant_fits_its_item_its_caller_and_its_actions(
    item_id: str, identity: tuple[str | None, str], actions: list[Action], *, fits: bool
) -> None:
    """An application may replace what makes grants, so each use of one asks."""
    grant = Grant(Principal(None, "alice", ScopeSet(), 0), "42", frozenset({Action.SUBSCRIBE}))

    assert grant.fits(item_id, identity, *actions) is fits
