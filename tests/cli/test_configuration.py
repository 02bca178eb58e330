"""`config`, and the messages about wrong settings."""

import json

import pytest

from itemwire.settings import RENAMED, Settings
from tests.cli.conftest import CommandLine


def test_shows_values_and_their_sources(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first question of every support request."""
    monkeypatch.setenv("ITEMWIRE_PORT", "9000")

    rows = json.loads(itemwire("config", "--json").stdout)
    text = itemwire("config").stdout

    assert rows["ITEMWIRE_PORT"] == {"value": "9000", "source": "environment"}
    assert rows["ITEMWIRE_REFUSAL"] == {"value": "close", "source": "default"}
    assert "ITEMWIRE_ALLOWED_HOSTS" in text


def test_a_value_is_shown_as_it_is_written(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each, so that it may be copied into `.env`: a mode was shown in decimals."""
    monkeypatch.delenv("ITEMWIRE_SECRET", raising=False)
    defaults = dict(Settings())
    rows = json.loads(itemwire("config", "--json").stdout)
    for name, row in rows.items():
        if row["value"] is not None:
            monkeypatch.setenv(name, row["value"])

    shown = dict(Settings())

    assert shown == defaults
    assert rows["ITEMWIRE_UDS_MODE"]["value"] == "660"
    assert rows["ITEMWIRE_ADMIN"]["value"] == "false"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("METRICS_TOKEN", "short", "has 5 characters, of at least 32"),
        ("TRUSTED_PROXIES", "proxy.internal", "'proxy.internal' matches nobody"),
        ("UDS_MODE", "9", "is written as three octal digits"),
    ],
)
def test_a_message_names_its_setting_once(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    """Without the words of the library that found it."""
    monkeypatch.setenv(f"ITEMWIRE_{name}", value)
    result = itemwire("serve")

    assert result.stderr.startswith(f"Error: ITEMWIRE_{name}: {told}"), result.stderr
    assert result.stderr.count("ITEMWIRE_") == 1


def test_hides_the_secret(itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output ends in a ticket or a chat."""
    monkeypatch.setenv("ITEMWIRE_SECRET", "hunter2" * 8)

    result = itemwire("config")

    assert "hunter2" not in result.output
    assert "(hidden)" in result.output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:hunter2@host:1/2", "redis://(hidden)@host:1/2"),
        ("redis://me:hunter2/odd@host", "redis://(hidden)@host"),
        ("redis://me:hun@ter2@host/1", "redis://(hidden)@host/1"),
        ("redis://host?password=hunter2&db=2", "redis://host?password=(hidden)&db=2"),
        ("redis://host:1/2", "redis://host:1/2"),
    ],
)
def test_hides_the_password_of_the_engine(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, url: str, shown: str
) -> None:
    """It is a part of the URL; what else is in it helps."""
    monkeypatch.setenv("ITEMWIRE_ENGINE_URL", url)

    rows = json.loads(itemwire("config", "--json").stdout)

    assert rows["ITEMWIRE_ENGINE_URL"]["value"] == shown
    assert "hunter2" not in itemwire("config").output


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ITEMWIRE_PORT", "seventy"),
        ("ITEMWIRE_LEEWAY", "3600"),
        ("ITEMWIRE_REFUSAL", "maybe"),
        ("ITEMWIRE_HISTORY_SIZE", "-1"),
    ],
)
def test_a_wrong_setting_is_named(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """One line with its name, and the exit code for configuration."""
    monkeypatch.setenv(name, value)

    result = itemwire("serve")

    assert result.exit_code == 78
    assert result.stderr.startswith(f"Error: {name}: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_is_one_line_with_the_new_one(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, old: str
) -> None:
    """Anyone who upgrades learns what to rename, and nothing else."""
    monkeypatch.setenv(old, "5")

    result = itemwire("serve")

    assert result.exit_code == 78
    assert result.stderr == f"Error: {old} is called {RENAMED[old]} now: rename it\n"


def test_a_wrong_secret_is_not_printed(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a weak one nor one that clashes with a file."""
    monkeypatch.setenv("ITEMWIRE_SECRET", "hunter2")
    weak = itemwire("serve")
    monkeypatch.setenv("ITEMWIRE_KEYS_FILE", "keys.json")
    both = itemwire("serve")

    assert (weak.exit_code, both.exit_code) == (78, 78)
    assert "hunter2" not in weak.output + both.output
    assert "ITEMWIRE_KEYS_FILE" in both.output


def test_a_misspelt_setting_is_warned_about(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The typo is told, with what it may have meant."""
    monkeypatch.setenv("ITEMWIRE_SECRT", "x")

    result = itemwire("config")

    assert "ITEMWIRE_SECRT is not a setting; did you mean ITEMWIRE_SECRET?" in result.stderr
    assert result.exit_code == 0
