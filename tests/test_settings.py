"""Settings: documented, explained, and never guessed at."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from itemwire.assembly import Assembly
from itemwire.channels.limits.bounds import Lifetime
from itemwire.main import create_app
from itemwire.settings import PREFIX, RENAMED, Settings
from itemwire.variables import source_of, unknown_variables
from tests.conftest import SECRET

EXAMPLE = Path(__file__).parent.parent / ".env.example"


def documented() -> dict[str, str]:
    """Read the example file's settings, commented out as they are."""
    lines = re.findall(r"^# (ITEMWIRE_[A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    return dict(lines)


def test_every_setting_is_in_the_example_file_and_no_other() -> None:
    """A setting that is nowhere written down does not exist for its user."""
    assert set(documented()) == {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def test_the_example_file_says_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncommenting a line of the example must change nothing."""
    for name, value in documented().items():
        if value:
            monkeypatch.setenv(name, value)

    assert Settings().model_dump() == Settings.model_construct().model_dump()


def test_every_setting_says_what_it_is() -> None:
    """The description is what documentation and error messages are made of."""
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("environment", "file", "source"),
    [
        pytest.param(None, None, "default", id="default"),
        pytest.param(None, "9", ".env", id="file"),
        pytest.param("8", None, "environment", id="environment"),
        pytest.param("8", "9", "environment", id="both"),
    ],
)
def test_tells_where_a_value_comes_from(
    monkeypatch: pytest.MonkeyPatch, environment: str | None, file: str | None, source: str
) -> None:
    """The environment wins over the file, and the file over the default."""
    if environment is not None:
        monkeypatch.setenv("ITEMWIRE_PORT", environment)
    if file is not None:
        Path(".env").write_text(f"ITEMWIRE_PORT={file}\n")

    assert source_of("port") == source
    assert Settings().port == int(environment or file or 8000)


def test_finds_a_misspelt_variable_and_what_it_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo would otherwise leave the default in force without a word."""
    monkeypatch.setenv("ITEMWIRE_SECRT", "x")
    monkeypatch.setenv("ITEMWIRE_PORT", "1")
    Path(".env").write_text("ITEMWIRE_ZZZ=1\n")

    assert list(unknown_variables()) == [
        ("ITEMWIRE_SECRT", "ITEMWIRE_SECRET"),
        ("ITEMWIRE_ZZZ", None),
    ]


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_ends_the_start_and_names_the_new_one(
    monkeypatch: pytest.MonkeyPatch, old: str
) -> None:
    """Its value would have no effect, and nobody would notice."""
    monkeypatch.setenv(RENAMED[old], "disconnect" if "SLOW" in old else "5")
    Settings()
    monkeypatch.setenv(old.lower(), "5")
    with pytest.raises(ValidationError, match=f"{old} is called {RENAMED[old]} now"):
        Settings()


def test_every_new_name_is_a_setting() -> None:
    """The sentence must not lead to another error."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}

    assert set(RENAMED.values()) <= known
    assert not RENAMED.keys() & known


def test_a_socket_lasts_as_long_as_is_configured() -> None:
    """Each of the three reaches the node (requirements 68, 73)."""
    settings = Settings(
        secret=SECRET,
        expiry_grace=1.5,
        expiry_warning_seconds=20,
        max_session_seconds=300,
        _env_file=None,
    )
    app = create_app(settings)

    assert Assembly.of(app).node._expiry._lifetime == Lifetime(grace=1.5, warning=20, session=300)


@pytest.mark.parametrize("name", ["expiry_grace", "expiry_warning_seconds", "max_session_seconds"])
def test_no_time_is_below_zero(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nought means none, and a slip of the keyboard is no setting."""
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", "0")
    assert getattr(Settings(), name) == 0
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", "-1")
    with pytest.raises(ValidationError, match=name):
        Settings()
