"""Tests of environment.py: what is read of variables and `.env`, whoever has written them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from itemwire_auth.environment import is_of_platform, read_environment
from itemwire_auth.settings import AuthSettings

SECRET = "kX9v2mQ7pLw4ZtR8sYb3Nf6Hd1Jg5Ac0UeViOoPqWzE"
LINE = "ITEMWIRE_NAME=größe"


class Few(BaseSettings):
    """A setting of each kind that is read in a way of its own."""

    model_config = SettingsConfigDict(env_prefix="ITEMWIRE_")

    name: str = "default"
    port: int = 8000
    secret: SecretStr | None = None
    entries: tuple[str, ...] = Field(default=("a", "b"))
    others: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the machine out."""
    for name in [name for name in os.environ if name.upper().startswith("ITEMWIRE_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("value", "read", "is_noted"),
    [
        pytest.param("a", "a", False, id="plain"),
        pytest.param("a b", "a b", False, id="space-inside"),
        pytest.param("it's", "it's", False, id="quotation-mark-inside"),
        pytest.param("", None, False, id="empty"),
        pytest.param(" \t", None, False, id="blank"),
        pytest.param('""', None, False, id="quoted-nothing"),
        pytest.param('" "', None, False, id="quoted-blank"),
        pytest.param('"a"', "a", True, id="double-quotes"),
        pytest.param("'a'", "a", True, id="single-quotes"),
        pytest.param("a\n", "a", True, id="line-break"),
        pytest.param("a\r", "a", True, id="carriage-return"),
        pytest.param(' "a"\n', "a", True, id="quotes-and-line-break"),
        pytest.param('"a\n"', "a", True, id="line-break-in-quotes"),
        pytest.param("\ufeffa", "a", True, id="byte-order-mark"),
        pytest.param("a\u200b", "a", True, id="zero-width-space"),
    ],
)
@pytest.mark.parametrize("name", ["name", "secret", "others"])
def test_a_value_is_what_was_meant_and_a_change_is_told(
    name: str, value: str, read: str | None, is_noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No quotation mark or line break of a tool becomes part of a secret (requirement 137)."""
    variable = f"ITEMWIRE_{name.upper()}"
    monkeypatch.setenv(variable, value)

    found = read_environment(Few)

    assert found.values.get(variable) == read
    assert found.sources.get(variable) == (None if read is None else "environment")
    assert [note.partition(" ")[0] for note in found.notes] == [variable] * is_noted
    assert value == '"' or value not in "".join(found.notes) or len(value.strip()) < 2


@pytest.mark.parametrize("value", ['"a', "a'", '"a","b"', "\"a'"])
def test_a_quotation_mark_without_its_twin_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But in a secret, which may be any text."""
    monkeypatch.setenv("ITEMWIRE_SECRET", value)
    assert read_environment(Few).values["ITEMWIRE_SECRET"] == value

    monkeypatch.setenv("ITEMWIRE_NAME", value)
    with pytest.raises(ValueError, match="ITEMWIRE_NAME begins or ends with a quotation mark"):
        read_environment(Few)


@pytest.mark.parametrize(
    ("value", "read", "is_noted"),
    [
        pytest.param("", None, True, id="empty-is-the-default"),
        pytest.param("none", "", False, id="none"),
        pytest.param(" NONE ", "", False, id="none-in-capitals"),
        pytest.param("none,b", "none,b", False, id="one-of-several"),
    ],
)
def test_a_list_that_has_a_default_is_emptied_by_a_word(
    value: str, read: str | None, is_noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose's `${X:-}` means unset. Whoever meant an empty list is told how to write one."""
    monkeypatch.setenv("ITEMWIRE_ENTRIES", value)
    monkeypatch.setenv("ITEMWIRE_OTHERS", value)

    found = read_environment(Few)

    assert found.values.get("ITEMWIRE_ENTRIES") == read
    assert any("default is used, a,b" in note for note in found.notes) is is_noted
    assert found.values.get("ITEMWIRE_OTHERS") == (value.strip() or None)


def test_a_name_in_capitals_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are read in any case, as before; of two spellings one has to win."""
    monkeypatch.setenv("itemwire_name", "small")
    assert read_environment(Few).values["ITEMWIRE_NAME"] == "small"

    monkeypatch.setenv("ITEMWIRE_NAME", "large")
    assert read_environment(Few).values["ITEMWIRE_NAME"] == "large"


def test_bytes_that_are_no_text_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A latin-1 value would be sent, compared and logged as something else."""
    monkeypatch.setenv("ITEMWIRE_NAME", os.fsdecode(LINE.encode("latin-1")))

    with pytest.raises(ValueError, match="ITEMWIRE_NAME is not UTF-8"):
        read_environment(Few)


@pytest.mark.parametrize(
    ("value", "port"),
    [
        ("tcp://10.0.0.1:8000", None),
        ("udp://10.0.0.1:53", None),
        ("tcp://[fd00::1]:8000", None),
        ("9000", "9000"),
        ("tcp://x/y:1", "tcp://x/y:1"),
    ],
)
def test_a_service_link_is_no_port(
    value: str, port: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes sets ITEMWIRE_PORT in every pod beside a service called `itemwire`."""
    monkeypatch.setenv("ITEMWIRE_PORT", value)

    found = read_environment(Few)

    assert found.values.get("ITEMWIRE_PORT") == port
    assert bool(found.notes) is (port is None)


def test_a_service_link_leaves_the_port_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is ignored does not hide what is meant."""
    (tmp_path / ".env").write_text("ITEMWIRE_PORT=9000\n")
    monkeypatch.setenv("ITEMWIRE_PORT", "tcp://10.0.0.1:8000")

    found = read_environment(Few, tmp_path / ".env")

    assert (found.values["ITEMWIRE_PORT"], found.sources["ITEMWIRE_PORT"]) == (
        "9000",
        str(tmp_path / ".env"),
    )


@pytest.mark.parametrize(
    ("name", "is_link"),
    [
        ("ITEMWIRE_SERVICE_HOST", True),
        ("ITEMWIRE_SERVICE_PORT", True),
        ("ITEMWIRE_SERVICE_PORT_HTTP", True),
        ("ITEMWIRE_PORT_8000_TCP", True),
        ("ITEMWIRE_PORT_8000_TCP_ADDR", True),
        ("ITEMWIRE_REDIS_PORT", True),
        ("ITEMWIRE_PORTS", False),
        ("ITEMWIRE_HISTORY_SIZES", False),
    ],
)
def test_knows_the_names_that_platforms_set(name: str, is_link: bool) -> None:
    """Seven warnings of unknown settings at each start would hide the eighth."""
    assert is_of_platform(name) is is_link


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(LINE.encode(), id="utf-8"),
        pytest.param(LINE.encode("utf-8-sig"), id="utf-8-with-mark"),
        pytest.param(LINE.encode("utf-16"), id="utf-16"),
        pytest.param(b"\xfe\xff" + LINE.encode("utf-16-be"), id="utf-16-big-end"),
        pytest.param(f"# ü\r\n{LINE}\r\n".encode(), id="line-ends-of-windows"),
        pytest.param(f"export {LINE}".encode(), id="for-a-shell"),
        pytest.param(b"ITEMWIRE_NAME='gr\xc3\xb6\xc3\x9fe' # comment", id="quoted"),
        pytest.param("ITEMWIRE_NAME='größe\n'".encode(), id="line-break-in-quotes"),
        pytest.param("Y=größe\nITEMWIRE_NAME=${Y}".encode(), id="of-another-line"),
        pytest.param("ITEMWIRE_NAME=${ITEMWIRE_X:-größe}".encode(), id="with-a-default"),
    ],
)
def test_reads_a_file_of_any_editor(data: bytes, tmp_path: Path) -> None:
    """PowerShell writes UTF-16, Notepad a byte order mark."""
    path = tmp_path / ".env"
    path.write_bytes(data)

    assert read_environment(Few, path).values["ITEMWIRE_NAME"] == "größe"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(LINE.encode("latin-1"), "not UTF-8", id="latin-1"),
        pytest.param(LINE.encode("utf-16-le"), "not UTF-8", id="utf-16-without-mark"),
        pytest.param(b"ITEMWIRE_NAME=a\0", "not UTF-8, or damaged", id="nul"),
        pytest.param(b"\xff\xfea", "not UTF-8", id="half-of-utf-16"),
        pytest.param(b'A=1\n\nITEMWIRE_NAME="a\n', "line 3 of .* is not NAME=value", id="open"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(data: bytes, why: str, tmp_path: Path) -> None:
    """A line that is left out would be a setting with another value (requirement 137)."""
    path = tmp_path / ".env"
    path.write_bytes(data)

    with pytest.raises(ValueError, match=why) as refused:
        read_environment(Few, path)

    assert len(str(refused.value).splitlines()) == 1


def test_a_folder_and_a_file_of_nobody(tmp_path: Path) -> None:
    """A container gets a folder where the file that it mounts is not there."""
    folder, loop = tmp_path / ".env", tmp_path / "loop"
    folder.mkdir()
    loop.symlink_to(loop)

    with pytest.raises(ValueError, match=r"\.env: Is a directory; a container"):
        read_environment(Few, folder)
    with pytest.raises(ValueError, match=r"cannot read .*loop"):
        read_environment(Few, loop)
    assert read_environment(Few, tmp_path / "absent").values == {}


def test_a_reference_to_nothing_is_told(tmp_path: Path) -> None:
    """A password with `${` in it is another one, without a word of python-dotenv."""
    path = tmp_path / ".env"
    path.write_text("ITEMWIRE_SECRET=abc${def}ghi\n")

    found = read_environment(Few, path)

    assert found.values["ITEMWIRE_SECRET"] == "abcghi"
    assert len(found.notes) == 1
    assert "${def}, which is not set" in found.notes[0]


def test_several_files_and_variables_of_other_names_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pydantic-settings offers to a host that has settings of its own."""
    one, two, secrets = tmp_path / "one", tmp_path / "two", tmp_path / "secrets"
    one.write_text("ITEMWIRE_JWKS_URL=https://one.test\nITEMWIRE_ISSUER='one'\n")
    two.write_text("ITEMWIRE_ISSUER=two\n")
    secrets.mkdir()
    (secrets / "itemwire_secret").write_text(f"{SECRET}\n")
    monkeypatch.setenv("WIRE_AUDIENCE", "wire")

    class Own(AuthSettings):
        """Settings of an application."""

        wire: str = Field(default="", validation_alias="WIRE_AUDIENCE")

    settings = Own(_env_file=(one, two), _secrets_dir=secrets, jwks_url=None)

    assert (settings.issuer, settings.jwks_url) == ("two", None)
    assert settings.secret == SecretStr(SECRET)
    assert settings.wire == "wire"
