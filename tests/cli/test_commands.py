"""What holds for every command: a wrong setting, and output that cannot be written, is one line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from itemwire.cli import MODULES
from itemwire_auth.tokens.minting import new_secret
from tests.cli.conftest import ITEMWIRE, CommandLine

WITH_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "serve": ("serve", "--port", "0"),
    "token": ("token", "mint", "--subject", "ann"),
    "token inspect": ("token", "inspect", "x"),
    "bench": ("bench",),
    "export": ("export", "openapi"),
    "export asyncapi": ("export", "asyncapi"),
    "export typescript": ("export", "typescript"),
}
"""The commands that read the keys."""

WITH_SETTINGS: Final = WITH_KEYS | {
    "config": ("config",),
    "engine": ("engine", "init"),
}

WITH_NONE: Final = {"dev", "publish", "tail"}
"""Commands with settings of their own: `dev` makes its own, and clients take arguments."""

TELLS_ALL: Final = {"doctor"}
"""Commands that tell of all wrong settings in their own way; `test_doctor.py` has them."""

WRONG_KEYS: Final = {
    "short": {"SECRET": "short"},
    "easy": {"SECRET": "a1B2" * 16},
    "no file": {"KEYS_FILE": "/none/keys.json"},
}

FOR_ALL: Final = {
    "a word": {"LEEWAY": "tcp://192.0.2.1:80"},
    "too much": {"LEEWAY": "301"},
}

NEVER_STARTS: Final = {
    "no engine": {"ENGINE_URL": "wat://x"},
    "no channels": {"CHANNELS_FILE": "/none/channels.toml"},
}
"""What the commands look at that build the whole server."""

CASES: Final = (
    *((command, one) for command in WITH_SETTINGS for one in FOR_ALL),
    *((command, one) for command in WITH_KEYS for one in WRONG_KEYS),
    *(
        (command, one)
        for command in WITH_KEYS
        if command.startswith(("serve", "export"))
        for one in NEVER_STARTS
    ),
)


def test_every_command_is_looked_at() -> None:
    """One that is added says which settings it reads."""
    assert {name.split()[0] for name in WITH_SETTINGS} | WITH_NONE | TELLS_ALL == set(MODULES)


@pytest.mark.parametrize(("command", "wrong"), CASES)
def test_a_wrong_setting_is_one_line_and_78(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, command: str, wrong: str
) -> None:
    """A traceback and a status of 1 would tell a script to try again."""
    given = {"SECRET": new_secret()} | (WRONG_KEYS | FOR_ALL | NEVER_STARTS)[wrong]
    if "KEYS_FILE" in given:
        del given["SECRET"]
    for name, value in given.items():
        monkeypatch.setenv(f"ITEMWIRE_{name}", value)

    result = itemwire(*WITH_SETTINGS[command])

    assert (result.exit_code, type(result.exception)) == (78, SystemExit), result.output
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("command", [name for name in WITH_KEYS if name.startswith("export")])
def test_right_settings_are_taken(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The twin: with a good key, and with none, for a document needs none."""
    assert itemwire(*WITH_KEYS[command]).exit_code == 0
    monkeypatch.setenv("ITEMWIRE_SECRET", new_secret())

    assert itemwire(*WITH_KEYS[command]).exit_code == 0


PRINTING: Final = (
    ("--help",),
    ("--version",),
    *((name, "--help") for name in MODULES),
    ("config",),
    ("config", "--json"),
    ("export", "openapi"),
    ("token", "mint", "--subject", "ann"),
)


@pytest.mark.server
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_output_that_cannot_be_written_is_one_line(arguments: tuple[str, ...]) -> None:
    """A full disk behind a redirection is no fault of the program."""
    environment = os.environ | {"ITEMWIRE_SECRET": new_secret()}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [ITEMWIRE, *arguments],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=60,
        )

    assert (ended.returncode, ended.stderr) == (1, "Error: No space left on device\n")


def test_a_file_that_cannot_be_written_is_one_line(itemwire: CommandLine, tmp_path: Path) -> None:
    """The system says why, and the line says which."""
    absent = tmp_path / "none" / "openapi.json"

    result = itemwire("export", "openapi", str(absent))

    assert (result.exit_code, result.stderr) == (1, f"Error: No such file or directory: {absent}\n")
    assert itemwire("export", "openapi", str(tmp_path / "openapi.json")).exit_code == 0
