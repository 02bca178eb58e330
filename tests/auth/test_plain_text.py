"""Tests of plain_text.py: `test_environment.py` has the forms of values and files."""

from __future__ import annotations

import pytest

from itemwire_auth.plain_text import decode_text, mended_secret


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
