"""Tests of rights.py: what all the scopes of a token grant together."""

from __future__ import annotations

import pytest

from itemwire_auth.rights import Rights, ScopeSet
from itemwire_auth.scopes import Action

SUBSCRIBE, PUBLISH = Action.SUBSCRIBE, Action.PUBLISH


def test_adds_up_the_rights_of_both_claims() -> None:
    """An item may be reached by several words; each brings its own action."""
    rights = ScopeSet.of_claims(
        "items:subscribe items:a:*:history", {"a:1": ["publish"], "a:2": ["presence", "fly"]}
    )

    assert rights.actions_on("a:1") == {SUBSCRIBE, Action.HISTORY, PUBLISH}
    assert rights.actions_on("a:2") == {SUBSCRIBE, Action.HISTORY, Action.PRESENCE}
    assert rights.actions_on("b") == {SUBSCRIBE}


@pytest.mark.parametrize("nothing", ["", "openid profile", "items:fly", "items::publish"])
def test_grants_nothing_by_default(nothing: str) -> None:
    """A token without rights has none: absence is never taken as no restriction."""
    rights = ScopeSet.of_claims(nothing, {"": ["publish"], "a": [], "b": ["fly"]})

    assert not any(rights.has(action) for action in Action)
    assert not rights.actions_on("a")
    assert not rights.admin


@pytest.mark.parametrize("blank", ["\t", "\n", "\u00a0", ","])
def test_separates_words_by_spaces_alone(blank: str) -> None:
    """What other readers take as one word must not be two here (RFC 6749 section 3.3)."""
    rights = ScopeSet.of_claims(f"openid{blank}admin{blank}items:publish")

    assert not rights.admin
    assert not rights.has(PUBLISH)


@pytest.mark.parametrize(
    ("scope", "admin"),
    [
        pytest.param("admin", True, id="alone"),
        pytest.param("items:publish admin", True, id="beside"),
        pytest.param("notadmin admin2 Admin items:admin", False, id="within"),
    ],
)
def test_compares_admin_as_a_whole_word(scope: str, admin: bool) -> None:
    """`admin` is not in `notadmin` (requirement 60), and it grants no item by itself."""
    rights = ScopeSet.of_claims(scope)

    assert rights.admin is admin


def test_admin_grants_no_item() -> None:
    """The admin API and the channels are two doors."""
    assert not any(ScopeSet.of_claims("admin").has(action) for action in Action)


def test_knows_rights_on_other_items() -> None:
    """A caller with the right elsewhere is told `forbidden`, not `scope_missing`."""
    rights = ScopeSet.of_claims("items:a:publish items:b:*:history")

    assert rights.has(PUBLISH)
    assert rights.has(Action.HISTORY)
    assert not rights.has(SUBSCRIBE)


def test_equal_rights_are_one_object() -> None:
    """Idle sockets by the ten thousand hold one set of actions and one compiled scope."""
    scope = "items:publish items:subscribe"

    assert ScopeSet.of_claims(scope) is ScopeSet.of_claims("".join(scope))
    assert ScopeSet.of_claims(scope).actions_on("a") is ScopeSet.of_claims(
        items={"a": ["subscribe", "publish"]}
    ).actions_on("a")


def test_writes_rights_as_the_claim_that_grants_them() -> None:
    """A ticket keeps rights in this form; read again they must be the same, but for `admin`."""
    rights = ScopeSet.of_claims("items:subscribe items:a:*:publish", {"42": ["history"]})

    written = rights.as_items_claim()

    assert written == {"*": ["subscribe"], "a:*": ["publish"], "42": ["history"]}
    assert ScopeSet.of_claims(None, written) == rights


def test_nobody_administers_who_is_not_said_to() -> None:
    """Neither by no rights at all nor by all rights on items."""
    assert not ScopeSet().admin
    assert not ScopeSet.of_claims("items:*").admin
    assert ScopeSet.of_claims("admin").admin


def test_an_action_that_is_none_is_refused_with_those_there_are() -> None:
    """A slip of the pen would otherwise deny everybody."""
    with pytest.raises(ValueError, match="'subscrbe' is no action: they are subscribe, publish"):
        Rights("subscrbe")
    assert Rights("subscribe", "history").can == {Action.SUBSCRIBE, Action.HISTORY}
