"""Tests of settings.py: what operators may write, and how a mistake is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from itemwire_auth.scopes import Action
from itemwire_auth.settings import AuthSettings, list_variables
from itemwire_auth.tokens.minting import new_secret


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the machine out."""
    for name in AuthSettings.model_fields:
        monkeypatch.delenv(f"ITEMWIRE_{name.upper()}", raising=False)


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        pytest.param("a", ("a",), id="one"),
        pytest.param("a,b", ("a", "b"), id="two"),
        pytest.param(" a , b ,", ("a", "b"), id="spaces-and-a-last-comma"),
        pytest.param('["a"]', ('["a"]',), id="not-json"),
    ],
)
@pytest.mark.parametrize(
    "name",
    ["audience", "client_id", "rights_claims", "token_types", "allowed_origins", "allowed_hosts"],
)
def test_reads_lists_from_the_environment(
    name: str, text: str, entries: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list is written with commas; `tests/auth/test_environment.py` has the empty ones."""
    monkeypatch.setenv(f"ITEMWIRE_{name.upper()}", text)

    assert getattr(AuthSettings(), name) == entries


def test_takes_lists_in_code() -> None:
    """An application that builds settings itself passes lists."""
    assert AuthSettings(audience=["a", "b"]).audience == ("a", "b")


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        pytest.param("", {}, id="empty"),
        pytest.param("{}", {}, id="none"),
        pytest.param('{"editor": "items:*"}', {"editor": "items:*"}, id="one"),
        pytest.param(
            '{"Größe": "items:history admin"}', {"Größe": "items:history admin"}, id="any"
        ),
    ],
)
def test_reads_roles_as_a_json_object(
    text: str, roles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role has any characters, so the setting is no list with commas."""
    monkeypatch.setenv("ITEMWIRE_ROLE_RIGHTS", text)

    assert AuthSettings().role_rights == roles
    assert AuthSettings().rights_rules().rights_of({"scope": "editor"}).actions_on("42") == (
        set(Action) if "editor" in roles else set()
    )


def test_has_safe_defaults() -> None:
    """Nobody has to know a setting to be safe."""
    settings = AuthSettings()

    assert settings.allowed_origins == ("self",)
    assert settings.leeway == 0
    assert settings.max_token_lifetime == 30 * 24 * 3600
    assert settings.max_token_length == 8192
    assert settings.ticket_seconds == 30
    assert settings.cookie_secure
    assert settings.subject_claim == "sub"
    assert (settings.role_rights, settings.default_rights) == ({}, ())
    assert all(field.description for field in AuthSettings.model_fields.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("leeway", "61", id="leeway-long"),
        pytest.param("leeway", "-1", id="leeway-negative"),
        pytest.param("leeway", "nan", id="leeway-nan"),
        pytest.param("max_token_lifetime", "0", id="no-lifetime"),
        pytest.param("max_token_length", "0", id="no-length"),
        pytest.param("jwks_cooldown", "0", id="no-cooldown"),
        pytest.param("jwks_cooldown", "inf", id="endless-cooldown"),
        pytest.param("jwks_refresh", "inf", id="no-refresh"),
        pytest.param("role_rights", "editor", id="roles-no-json"),
        pytest.param("role_rights", '["editor"]', id="roles-list"),
        pytest.param("role_rights", '{"editor": ["items:*"]}', id="role-list"),
        pytest.param("role_rights", '{"editor": "items:fly"}', id="role-that-grants-nothing"),
        pytest.param("role_rights", '{"a": "items:*", "a": ""}', id="role-twice"),
        pytest.param("default_rights", "subscribe,fly", id="default-that-grants-nothing"),
        pytest.param("default_rights", "admin", id="everybody-an-administrator"),
        pytest.param("cookie_name", "a b", id="cookie-name-with-space"),
        pytest.param("cookie_name", "a\nb", id="cookie-name-with-line-break"),
        pytest.param("ticket_seconds", "0", id="no-ticket-life"),
        pytest.param("ticket_seconds", "61", id="long-ticket-life"),
        pytest.param("policy_url", "http://app.example.com/", id="policy-in-the-clear"),
        pytest.param("policy_timeout", "0", id="policy-without-time"),
        pytest.param("policy_timeout", "31", id="policy-with-too-much-time"),
        pytest.param("policy_cache_seconds", "301", id="policy-remembered-for-long"),
        pytest.param("stop_after_refusals", "59", id="stopped-before-slowed"),
        pytest.param("slow_after_refusals", "-1", id="fewer-refusals-than-none"),
        pytest.param("throttle_exempt", "10.0.0.1/8", id="no-network"),
    ],
)
def test_refuses_a_value(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that would weaken or break the checks stops the start."""
    monkeypatch.setenv(f"ITEMWIRE_{name.upper()}", value)

    with pytest.raises(ValidationError):
        AuthSettings()


def test_refuses_two_sources_of_keys_without_showing_the_secret() -> None:
    """Which one verifies would be a guess; the error is printed, so it must not hold the secret."""
    secret = new_secret()

    with pytest.raises(ValidationError, match="keep only one") as refused:
        AuthSettings(secret=SecretStr(secret), keys_file=Path("keys.json"))
    for others in ({"keys_file": "k"}, {"issuers_file": "i"}, {"issuer": "a", "jwks_url": None}):
        with pytest.raises(ValidationError, match="keep only one"):
            AuthSettings.model_validate(
                {"jwks_url": "https://a.test", "issuers_file": "i"} | others
            )

    assert secret not in str(refused.value)
    assert secret not in repr(AuthSettings(secret=SecretStr(secret)))


def test_reads_its_keys_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """ITEMWIRE_SECRET is the name that others rely on."""
    monkeypatch.setenv("ITEMWIRE_SECRET", secret := new_secret())

    assert AuthSettings().secret == SecretStr(secret)


def test_either_threshold_may_be_turned_off() -> None:
    """The order of the two is looked at only where there are two."""
    assert AuthSettings(stop_after_refusals=0).slow_after_refusals == 60
    assert AuthSettings(slow_after_refusals=0, stop_after_refusals=1).stop_after_refusals == 1


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a", "b"], "ITEMWIRE_A and ITEMWIRE_B"),
        (["a", "b", "c"], "ITEMWIRE_A, ITEMWIRE_B and ITEMWIRE_C"),
    ],
)
def test_lists_variables_as_an_operator_writes_them(names: list[str], text: str) -> None:
    """Messages name settings so that they can be copied."""
    assert list_variables(names, "and") == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("leeway", "60"),
        ("leeway", "0"),
        ("max_token_lifetime", "1"),
        ("max_token_length", "1"),
        ("issuer", "a"),
        ("jwks_cooldown", "0.1"),
        ("jwks_refresh", "0.1"),
        ("cookie_name", "a"),
        ("ticket_seconds", "1"),
        ("ticket_seconds", "60"),
        ("policy_timeout", "30"),
        ("policy_timeout", "0.1"),
        ("policy_cache_seconds", "300"),
        ("policy_cache_seconds", "0"),
        ("stop_after_refusals", "60"),
        ("slow_after_refusals", "0"),
    ],
)
def test_accepts_a_value_at_the_bound(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the values above: the last one that is let through."""
    monkeypatch.setenv(f"ITEMWIRE_{name.upper()}", value)

    assert str(getattr(AuthSettings(), name)).removesuffix(".0") == value


DEFAULTS: dict[str, object] = {
    "rights_claims": ("scope", "scp", "permissions", "realm_access.roles"),
    "role_rights": {},
    "info_claims": (),
    "default_rights": (),
    "subject_claim": "sub",
    "client_id": (),
    "secret": None,
    "keys_file": None,
    "jwks_url": None,
    "jwks_allow_http": False,
    "jwks_cooldown": 30,
    "jwks_refresh": 300,
    "issuers_file": None,
    "issuer": None,
    "audience": (),
    "token_types": (),
    "leeway": 0,
    "max_token_lifetime": 30 * 24 * 3600,
    "max_token_length": 8192,
    "query_tokens": True,
    "ticket_seconds": 30,
    "ticket_rate": 20,
    "max_tickets": 200,
    "cookie_name": "session",
    "cookie_secure": True,
    "allowed_origins": ("self",),
    "allowed_hosts": ("localhost", "127.0.0.1", "[::1]"),
    "policy_url": None,
    "policy_timeout": 2,
    "policy_cache_seconds": 5,
    "policy_token": None,
    "policy_allow_http": False,
    "slow_after_refusals": 60,
    "stop_after_refusals": 600,
    "throttle_exempt": ("127.0.0.0/8", "::1"),
}


def test_every_default_is_the_one_that_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who sets nothing gets these: each is a promise."""
    for name in AuthSettings.model_fields:
        monkeypatch.delenv(f"ITEMWIRE_{name.upper()}", raising=False)

    assert {name: getattr(AuthSettings(), name) for name in AuthSettings.model_fields} == DEFAULTS


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("jwks_url", [], [""]),
        ("jwks_cooldown", [0.001], [0, float("inf"), float("nan")]),
        ("jwks_refresh", [0.001], [0, float("inf"), float("nan")]),
        ("issuer", ["i"], [""]),
        ("leeway", [0, 60], [-0.001, 60.001]),
        ("max_token_lifetime", [1], [0]),
        ("max_token_length", [1], [0]),
        ("ticket_seconds", [1, 60], [0, 61]),
        ("ticket_rate", [0], [-0.001, float("inf"), float("nan")]),
        ("max_tickets", [0], [-1]),
        ("cookie_name", ["__Host-s_1"], ["", "a b", "a;", "a\n"]),
        ("policy_timeout", [0.001, 30], [0, 30.001]),
        ("policy_cache_seconds", [0, 300], [-0.001, 300.001]),
        ("slow_after_refusals", [0], [-1]),
        ("stop_after_refusals", [0], [-1]),
    ],
)
def test_a_value_is_taken_up_to_its_bounds(
    name: str, good: list[object], bad: list[object]
) -> None:
    """Both ends, and just beyond them."""
    for value in good:
        assert getattr(AuthSettings.model_validate({name: value}), name) == value
    for value in bad:
        with pytest.raises(ValidationError):
            AuthSettings.model_validate({name: value})


def test_keys_are_fetched_as_the_settings_say() -> None:
    """Each of them arrives."""
    settings = AuthSettings(jwks_cooldown=7, jwks_refresh=8, jwks_allow_http=True)
    fetching = settings.fetching

    assert (fetching.cooldown, fetching.refresh, fetching.allow_http) == (7, 8, True)


def test_thresholds_may_be_equal_but_not_the_wrong_way_round() -> None:
    """Who is stopped at once was never slowed; then that must be what is written."""
    assert AuthSettings(slow_after_refusals=5, stop_after_refusals=5).stop_after_refusals == 5
    with pytest.raises(ValidationError, match="ITEMWIRE_STOP_AFTER_REFUSALS is below"):
        AuthSettings(slow_after_refusals=5, stop_after_refusals=4)


def test_a_validation_error_does_not_show_what_was_given() -> None:
    """It may be the secret; nor can settings be changed afterwards."""
    with pytest.raises(ValidationError) as refused:
        AuthSettings.model_validate({"leeway": "s3cret"})

    assert "s3cret" not in str(refused.value)
    with pytest.raises(ValidationError, match="frozen"):
        AuthSettings().leeway = 3  # type: ignore[misc] # that is the fault
