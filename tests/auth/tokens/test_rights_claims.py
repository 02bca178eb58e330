"""Tests of tokens/rights_claims.py: which claims grant rights, and what each of them grants."""

from __future__ import annotations

from typing import Any

import pytest

from itemwire_auth.scopes import Action
from itemwire_auth.tokens.rights_claims import RIGHTS_CLAIMS, RightsRules, find_claim

ROLES = {"editor": "items:*", "Field Team": "items:team:*:subscribe", "ops": "admin", "none": ""}
NOTHING: set[str] = set()
RULES = RightsRules(claims=("scope", "scp", "realm_access.roles"), roles=ROLES)


def actions(claims: dict[str, object], rules: RightsRules = RULES, item: str = "42") -> set[Action]:
    """Return what claims grant on an item."""
    return set(rules.rights_of(claims).actions_on(item))


@pytest.mark.parametrize(
    ("claims", "granted"),
    [
        pytest.param({"scope": "openid items:subscribe"}, {"subscribe"}, id="words"),
        pytest.param({"scope": ["openid", "items:subscribe"]}, {"subscribe"}, id="list"),
        pytest.param({"scp": "items:publish"}, {"publish"}, id="second-claim"),
        pytest.param(
            {"scope": "items:publish", "scp": ["items:history"]}, {"publish", "history"}, id="both"
        ),
        pytest.param({"realm_access": {"roles": ["editor"]}}, set(Action), id="role-at-a-path"),
        pytest.param({"scope": "editor"}, set(Action), id="role-in-scope"),
        pytest.param({"items": {"4*": ["publish"], "42": ["history"]}}, {"history"}, id="items"),
        pytest.param({"items": {"*": ["*"]}}, set(Action), id="items-every-action"),
        pytest.param({"roles": ["editor"]}, NOTHING, id="a-claim-that-is-not-read"),
        pytest.param({"scp": ["editors", "Editor", "edit", "or"]}, NOTHING, id="other-words"),
        pytest.param(
            {"scp": ["items:subscribe items:publish"]}, NOTHING, id="a-member-is-one-word"
        ),
        pytest.param({"scp": ["items:subscribe", 7]}, NOTHING, id="list-of-anything"),
        pytest.param({"scp": {"items:subscribe": True}}, NOTHING, id="object"),
        pytest.param({"scp": "items:subscribe,items:publish"}, NOTHING, id="comma"),
        pytest.param({"scp": "none"}, NOTHING, id="role-without-rights"),
        pytest.param({}, NOTHING, id="nothing"),
    ],
)
def test_grants_what_its_claims_say(claims: dict[str, object], granted: set[str]) -> None:
    """Rights of all claims add up; what is no right, or no claim of ours, adds none."""
    assert actions(claims) == granted


def test_a_role_may_have_spaces_in_a_list() -> None:
    """A member of a list is one word, as its issuer wrote it."""
    assert actions({"scp": ["Field Team"]}, item="team:a") == {"subscribe"}
    assert not actions({"scp": "Field Team"}, item="team:a")


@pytest.mark.parametrize(
    ("claims", "is_admin"),
    [
        pytest.param({"scope": "admin"}, True, id="scope"),
        pytest.param({"scope": ["admin"]}, True, id="scope-list"),
        pytest.param({"scp": ["admin"]}, False, id="scp"),
        pytest.param({"realm_access": {"roles": ["admin"]}}, False, id="role-called-admin"),
        pytest.param({"realm_access": {"roles": ["ops"]}}, True, id="role-that-stands-for-it"),
    ],
)
def test_a_role_called_admin_is_no_administrator_of_ours(
    claims: dict[str, object], is_admin: bool
) -> None:
    """Keycloak's own administrators have such a role, and every shop has one."""
    assert RULES.rights_of(claims).admin is is_admin


def test_a_word_that_is_a_role_means_the_role_alone() -> None:
    """So the settings can take a right out of a word, not only add one."""
    narrowed = RightsRules(roles={"admin": "items:history", "items:publish": ""})
    rights = narrowed.rights_of({"scope": "admin items:publish"})

    assert not rights.admin
    assert rights.actions_on("42") == {"history"}


@pytest.mark.parametrize(
    ("defaults", "item", "granted"),
    [
        pytest.param((), "42", {"publish"}, id="none"),
        pytest.param(("subscribe", "history"), "42", {"publish", "subscribe", "history"}, id="two"),
        pytest.param(("items:open:*:subscribe",), "42", {"publish"}, id="pattern-elsewhere"),
        pytest.param(
            ("items:open:*:subscribe",), "open:1", {"publish", "subscribe"}, id="pattern-here"
        ),
    ],
)
def test_every_token_has_the_default_rights(
    defaults: tuple[str, ...], item: str, granted: set[str]
) -> None:
    """They add to what the token grants, and never make an administrator."""
    rules = RightsRules(defaults=defaults)

    assert actions({"scope": "items:publish"}, rules, item) == granted
    assert not rules.rights_of({}).admin


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"roles": {"editor": "items:subscribe items:fly"}}, id="unknown-action"),
        pytest.param({"roles": {"editor": "subscribe"}}, id="no-prefix"),
        pytest.param({"roles": {"editor": "items:subscribe,items:publish"}}, id="comma"),
        pytest.param({"defaults": ("Subscribe",)}, id="other-case"),
        pytest.param({"defaults": ("admin",)}, id="admin-for-everybody"),
        pytest.param({"defaults": ("items::subscribe",)}, id="empty-pattern"),
    ],
)
def test_refuses_words_that_grant_nothing(rules: dict[str, Any]) -> None:
    """A slip in a setting is seen at the start, and not when nobody may subscribe."""
    with pytest.raises(ValueError, match="is no right"):
        RightsRules(**rules)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        pytest.param("sub", "alice", id="name"),
        pytest.param("realm_access.roles", ["a"], id="path"),
        pytest.param("https://example.com/roles", ["b"], id="name-with-dots"),
        pytest.param("https://stytch.com/session.roles", ["c"], id="path-from-a-name-with-dots"),
        pytest.param("resource_access.my.app.roles", ["d"], id="path-through-a-name-with-dots"),
        pytest.param("realm_access", {"roles": ["a"]}, id="object"),
        pytest.param("realm_access.role", None, id="no-such-member"),
        pytest.param("realm_access.roles.0", None, id="through-a-list"),
        pytest.param("sub.a", None, id="through-a-text"),
        pytest.param("realm_access.", None, id="dot-at-the-end"),
        pytest.param(".sub", None, id="dot-at-the-start"),
        pytest.param("Sub", None, id="other-case"),
    ],
)
def test_finds_a_claim_by_its_name_or_path(path: str, found: object) -> None:
    """Names are compared whole; an issuer's own names have dots in them."""
    claims: dict[str, object] = {
        "sub": "alice",
        "realm_access": {"roles": ["a"]},
        "https://example.com/roles": ["b"],
        "https://stytch.com/session": {"roles": ["c"]},
        "resource_access": {"my": {}, "my.app": {"roles": ["d"]}},
    }

    assert find_claim(claims, path) == found


def test_says_of_each_claim_what_it_grants() -> None:
    """An operator sees why a token that looks right grants nothing."""
    rules = RightsRules(("scope", "scp", "roles", "perms"), ROLES, ("subscribe",))

    told = rules.explain(
        {"scope": "openid", "roles": ["editor"], "perms": {"a": 1}, "items": [1], "scp": None}
    )

    assert told.split("; ") == [
        "scope holds no right: 'openid'",
        "scp is absent",
        "roles grants items:*",
        "perms is neither a string nor a list of strings: grants nothing",
        "items is no map of lists: grants nothing",
        "every token grants items:subscribe",
    ]
    assert "items is read" in rules.explain({"items": {"42": ["publish"]}})


def test_reads_the_claims_that_providers_use() -> None:
    """The RFC's own, those of Entra ID and Okta, of Auth0 and Clerk, and of Keycloak."""
    assert RIGHTS_CLAIMS == ("scope", "scp", "permissions", "realm_access.roles")
