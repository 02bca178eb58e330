"""The files that settings name, in every state: read as they are meant, or one line and 78."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from itemwire_auth.plain_text import MAX_BYTES
from tests.cli.conftest import CommandLine

SECRET: Final = "kX9v2mQ7pLw4ZtR8sYb3Nf6Hd1Jg5Ac0UeViOoPqWzE"
OCT: Final = base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")

FILES: Final = {
    "ITEMWIRE_KEYS_FILE": json.dumps(
        {"keys": [{"kty": "oct", "k": OCT, "kid": "é"}]}, ensure_ascii=False
    ),
    "ITEMWIRE_ISSUERS_FILE": json.dumps(
        [{"issuer": "é", "secret_env": "ITEMWIRE_SECRET_OF_E"}], ensure_ascii=False
    ),
    "ITEMWIRE_CHANNELS_FILE": '# é\n["order:{number}"]\nhistory = 5\n',
    ".env": "# é\nITEMWIRE_HISTORY_SIZE=7\n",
}
"""Each file that is read at the start, and something good in it."""

TAKEN: Final[dict[str, Callable[[str], bytes]]] = {
    "utf_8": str.encode,
    "byte_order_mark": lambda text: text.encode("utf-8-sig"),
    "utf_16": lambda text: text.encode("utf-16"),
    "line_ends_of_windows": lambda text: text.replace("\n", "\r\n").encode(),
}

REFUSED: Final[dict[str, Callable[[str], bytes]]] = {
    "latin_1": lambda text: text.encode("latin-1"),
    "utf_16_without_mark": lambda text: text.encode("utf-16-le"),
    "nul": lambda text: text.encode() + b"\0",
}


def start(
    itemwire: CommandLine, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str]:
    """Start as far as an address that cannot be listened on, and return status and output."""
    for variable in [one for one in os.environ if one.upper().startswith("ITEMWIRE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ITEMWIRE_SECRET_OF_E", SECRET)
    monkeypatch.setenv("ITEMWIRE_HOST", "192.0.2.1")  # RFC 5737: of no machine
    if name != ".env":
        monkeypatch.setenv(name, "file")
    if name in (".env", "ITEMWIRE_CHANNELS_FILE"):
        monkeypatch.setenv("ITEMWIRE_SECRET", SECRET)
    result = itemwire("serve")
    return result.exit_code, result.stderr


@pytest.mark.parametrize("state", [*TAKEN, *REFUSED])
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_or_refused_in_one_line(
    name: str, state: str, itemwire: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the editor, there is no traceback and no half of a file (requirement 137)."""
    path = tmp_path / (name if name == ".env" else "file")
    path.write_bytes((TAKEN | REFUSED)[state](FILES[name]))

    status, output = start(itemwire, name, tmp_path, monkeypatch)

    lines = [line for line in output.splitlines() if not line.startswith("Warning: ITEMWIRE_S")]
    assert len(lines) == 1
    if state in TAKEN:
        assert (status, "cannot listen" in output) == (1, True)
    else:
        assert (status, "UTF-8" in output) == (78, True)
        assert path.name in output


@pytest.mark.parametrize("name", FILES)
def test_a_folder_is_refused_in_one_line(
    name: str, itemwire: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container gets one where it mounts a file that is not there."""
    (tmp_path / (name if name == ".env" else "file")).mkdir()

    status, output = start(itemwire, name, tmp_path, monkeypatch)

    assert status == 78
    assert "Is a directory" in output.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "is_written"),
    # `.env` is read several times: its writer must write as often.
    [*((name, False) for name in FILES), *((name, True) for name in FILES if name != ".env")],
)
def test_a_pipe_is_read_if_somebody_writes_to_it(
    name: str,
    itemwire: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_written: bool,
) -> None:
    """A keeper of secrets gives them so; without it, the start hung and said nothing."""
    path = tmp_path / (name if name == ".env" else "file")
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=[FILES[name]], daemon=True)
    if is_written:
        writer.start()
    else:
        monkeypatch.setattr("itemwire_auth.plain_text.PIPE_SECONDS", 0.01)

    status, output = start(itemwire, name, tmp_path, monkeypatch)

    told = "cannot listen" if is_written else f"{path.name}: it is a pipe, and nobody writes to it"
    assert (status, told in output) == (1 if is_written else 78, True), output


def _no_end(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)


@pytest.mark.parametrize("put", [_no_end, _huge])
@pytest.mark.parametrize("name", FILES)
def test_what_no_memory_holds_is_refused_in_one_line(
    name: str,
    put: Callable[[Path], None],
    itemwire: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was read until the memory was full."""
    put(tmp_path / (name if name == ".env" else "file"))

    status, output = start(itemwire, name, tmp_path, monkeypatch)

    assert status == 78
    assert "File too large" in output.splitlines()[-1]


@pytest.mark.parametrize("name", [name for name in FILES if name != ".env"])
@pytest.mark.parametrize("text", ["", "[" * 100_000, '"x"', "null"])
def test_what_is_no_such_file_is_refused_in_one_line(
    name: str, text: str, itemwire: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty channels file has no channels, and is good; all else says what it should be."""
    (tmp_path / "file").write_text(text)

    status, output = start(itemwire, name, tmp_path, monkeypatch)

    assert status == (78 if text or name != "ITEMWIRE_CHANNELS_FILE" else 1)
    assert "Traceback" not in output
    assert "file" in output.splitlines()[-1] or status == 1
