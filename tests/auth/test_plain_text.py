"""Tests of plain_text.py: `test_environment.py` has the forms of values and files."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from itemwire_auth import plain_text
from itemwire_auth.plain_text import decode_text, mended_secret, read_text_file

MOST = 1000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_decodes_what_says_its_encoding(encoding: str) -> None:
    """UTF-8 need not say it."""
    assert decode_text("größe".encode(encoding), "it") == "größe"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-16-be", "utf-32"])
def test_refuses_what_does_not(encoding: str) -> None:
    """A guess at an encoding is another value."""
    with pytest.raises(ValueError, match="it is not UTF-8"):
        decode_text("größe".encode(encoding), "it")


@pytest.mark.parametrize(
    ("value", "secret", "is_noted"),
    [("a", "a", False), ('"a"\n', "a", True), ("", "", False), (" ", " ", False)],
)
def test_a_secret_of_a_variable_that_a_file_names(value: str, secret: str, is_noted: bool) -> None:
    """The issuers file names variables of its own, which come from the same tools."""
    found, note = mended_secret("BACKEND", value)

    assert (found, note is not None) == (secret, is_noted)


@pytest.mark.parametrize("size", [MOST, MOST + 1])
@pytest.mark.parametrize("is_pipe", [False, True])
def test_reads_so_much_and_no_more(
    size: int, is_pipe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe says nothing of its size before, and may have no end."""
    monkeypatch.setattr(plain_text, "MAX_BYTES", MOST)
    path, text = tmp_path / "keys", b"a" * size
    if is_pipe:
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=[text], daemon=True).start()
    else:
        path.write_bytes(text)

    if size <= MOST:
        assert read_text_file(path) == text
    else:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            read_text_file(path)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that waits for ever tells nobody why."""
    monkeypatch.setattr(plain_text, "PIPE_SECONDS", 0.01)
    os.mkfifo(tmp_path / "keys")

    with pytest.raises(OSError, match="nobody writes to it"):
        read_text_file(tmp_path / "keys")


@pytest.mark.parametrize("value", ['""', "''", '"', '"a', 'a"', "\"a'", "a"])
def test_quotation_marks_that_are_no_pair_around_something_stay(value: str) -> None:
    """Nobody can tell what was meant."""
    assert mended_secret("BACKEND", value)[0] == value
