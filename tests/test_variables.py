"""Every setting in every form in which tools pass values on: the right value, or one line."""

from __future__ import annotations

import os
from typing import Final, Literal, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from itemwire.cli.configuration import ConfigurationProblem, load_settings
from itemwire.settings import Settings
from itemwire.variables import remarks, unknown_variables

GOOD: Final = {
    "audience": "wire",
    "channels_file": "channels.toml",
    "client_id": "web",
    "default_rights": "subscribe",
    "fd": "3",
    "info_claims": "name",
    "issuer": "https://id.example.com",
    "issuers_file": "issuers.json",
    "jwks_url": "https://id.example.com/jwks",
    "keys_file": "keys.json",
    "max_connections": "5",
    "metrics_token": "m" * 40,
    "policy_token": "policy",
    "policy_url": "https://app.example.com/policy",
    "role_rights": '{"editor": "items:*"}',
    "secret": "kX9v2mQ7pLw4ZtR8sYb3Nf6Hd1Jg5Ac0UeViOoPqWzE",
    "token_types": "at+jwt",
    "uds": "itemwire.sock",
    "webhook_secret": "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=",
    "webhook_url": "https://app.example.com/hook",
}
"""A value of each setting that has none by default; of the others it is the default."""

AROUND: Final = {
    "double_quotes": '"{}"',
    "single_quotes": "'{}'",
    "line_break": "{}\n",
    "carriage_return": "{}\r",
    "spaces": "  {} ",
    "byte_order_mark": "\ufeff{}",
}

EMPTY: Final = {"empty": "", "blank": "  ", "line_break": "\n", "quotes": '""'}

INJECTED: Final = (
    "ITEMWIRE_PORT_8000_TCP=tcp://10.0.0.1:8000 ITEMWIRE_PORT_8000_TCP_PROTO=tcp "
    "ITEMWIRE_PORT_8000_TCP_ADDR=10.0.0.1 ITEMWIRE_PORT_8000_TCP_PORT=8000 "
    "ITEMWIRE_SERVICE_HOST=10.0.0.1 ITEMWIRE_SERVICE_PORT=8000 ITEMWIRE_SERVICE_PORT_HTTP=8000 "
    "ITEMWIRE_PORT=tcp://10.0.0.1:8000"
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the machine out."""
    for name in [name for name in os.environ if name.upper().startswith("ITEMWIRE_")]:
        monkeypatch.delenv(name)


def good_text(name: str) -> str:
    """Write a good value of a setting as an operator does."""
    default = Settings.model_fields[name].default
    if name in GOOD:
        return GOOD[name]
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def read(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """Return the value that a setting has where its variable has this text."""
    monkeypatch.setenv(f"ITEMWIRE_{name.upper()}", text)
    value = getattr(load_settings(), name)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize("form", AROUND)
@pytest.mark.parametrize("name", Settings.model_fields)
def test_what_a_tool_puts_around_a_value_is_taken_off(
    name: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A secret with quotation marks refuses every token, and nobody says why (requirement 137)."""
    plain = read(name, good_text(name), monkeypatch)
    assert capsys.readouterr().err == ""

    assert read(name, AROUND[form].format(good_text(name)), monkeypatch) == plain

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Warning: ITEMWIRE_{name.upper()} is used without ")
    assert good_text(name) not in line or len(good_text(name)) < 8


@pytest.mark.parametrize("form", EMPTY)
@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_empty_value_is_an_unset_one(
    name: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compose writes `${X:-}` for what is not set. Where somebody may mean it, a line says so."""
    default = Settings.model_fields[name].default

    assert read(name, EMPTY[form], monkeypatch) == default
    assert ("default is used" in capsys.readouterr().err) is (
        isinstance(default, tuple) and default != ()
    )


@pytest.mark.parametrize("name", Settings.model_fields)
def test_bytes_that_are_no_text_are_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the setting, its name is in the line."""
    with pytest.raises(ConfigurationProblem, match=f"^ITEMWIRE_{name.upper()} is not UTF-8"):
        read(name, os.fsdecode(b"\xe9\xff"), monkeypatch)


def _is_of_words(one: FieldInfo) -> bool:
    return one.annotation is bool or get_origin(one.annotation) is Literal


@pytest.mark.parametrize(
    "name", [n for n, one in Settings.model_fields.items() if _is_of_words(one)]
)
def test_a_word_is_read_in_any_case(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`LOG_LEVEL=INFO` and `True` are what other programs want."""
    words = get_args(Settings.model_fields[name].annotation) or ("true", "false")
    for word in words:
        expected = read(name, word, monkeypatch)
        assert read(name, word.upper(), monkeypatch) == expected
        assert read(name, word.capitalize(), monkeypatch) == expected


@pytest.mark.parametrize(
    ("word", "meant"), [("yes", True), ("ON", True), ("0", False), ("No", False)]
)
def test_other_words_for_yes_and_no(
    word: str, meant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Pydantic reads them; anything else is refused."""
    assert read("require_tls", word, monkeypatch) is meant
    with pytest.raises(ConfigurationProblem, match="ITEMWIRE_REQUIRE_TLS"):
        read("require_tls", "maybe", monkeypatch)


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line says what became of the port; the others are not taken for misspelt settings."""
    for pair in INJECTED.split():
        monkeypatch.setenv(*pair.split("=", 1))

    assert load_settings().port == 8000
    (line,) = remarks()
    assert line.startswith("ITEMWIRE_PORT=tcp://10.0.0.1:8000 is ignored")


def test_a_misspelt_name_beside_them_is_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: what no platform sets."""
    monkeypatch.setenv("ITEMWIRE_SERVICE_PORT", "8000")
    monkeypatch.setenv("ITEMWIRE_HISTORY_SIZES", "8")

    assert list(unknown_variables()) == [("ITEMWIRE_HISTORY_SIZES", "ITEMWIRE_HISTORY_SIZE")]
