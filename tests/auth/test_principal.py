"""Tests of principal.py: what identifies a caller, and what a grant allows."""

from __future__ import annotations

from typing import Any

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


@pytest.mark.parametrize(
    "actions",
    [
        pytest.param(frozenset({Action.PUBLISH}), id="actions"),
        pytest.param({Action.PUBLISH}, id="set"),
        pytest.param(["publish"], id="list-of-names"),
        pytest.param(frozenset({"publish"}), id="frozenset-of-names"),
    ],
)
def test_actions_may_be_any_collection_of_their_names(actions: Any) -> None:  # noqa: ANN401 - wrong types are what is tried
    """What the type checker would have said need not fail at night; kept is one kind of set."""
    grant = Grant(Principal(None, "alice", ScopeSet(), 0), "42", actions)

    assert type(grant.can) is frozenset
    assert grant.can == {Action.PUBLISH}


def test_a_sound_grant_is_kept_as_it_is() -> None:
    """Sets of actions are shared by all sockets that have them, also the set of all."""
    caller = Principal(None, "alice", ScopeSet(), 0)

    for actions in (frozenset({Action.PUBLISH}), frozenset(Action)):
        assert Grant(caller, "42", actions).can is actions


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        pytest.param((None, "42", frozenset(Action)), TypeError, id="no-principal"),
        pytest.param(("alice", "42", frozenset(Action)), TypeError, id="subject"),
        pytest.param(
            (Principal(None, "a", ScopeSet(), 0), 42, frozenset(Action)), TypeError, id="item"
        ),
        pytest.param((Principal(None, "a", ScopeSet(), 0), "42", "publish"), TypeError, id="text"),
        pytest.param((Principal(None, "a", ScopeSet(), 0), "42", None), TypeError, id="none"),
        pytest.param(
            (Principal(None, "a", ScopeSet(), 0), "42", {"fly"}), ValueError, id="unknown"
        ),
    ],
)
def test_a_grant_of_anything_else_cannot_be_made(
    values: tuple[Any, Any, Any], fault: type[Exception]
) -> None:
    """An override that returns such a thing fails there, and not where it is acted on."""
    with pytest.raises(fault):
        Grant(*values)
