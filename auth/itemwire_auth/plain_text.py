"""Reads text of people and their tools: its encoding, and what stands around it."""

from __future__ import annotations

import codecs
import errno
import os
import select
import stat
from pathlib import Path
from typing import Final

QUOTES: Final = ("'", '"')
_AROUND: Final = " \t\r\n\v\f\ufeff\u200b\u00a0"  # white space, and what nobody sees

_MARKS: Final = (  # a byte order mark, and the encoding that it announces
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


PIPE_SECONDS: Final = 5.0  # to wait for a writer, or for more
MAX_BYTES: Final = 1 << 24  # of a file that people edit, and of what has no end, as a device


def read_text_file(path: Path) -> bytes:
    """Return what a file or a pipe that somebody writes to holds; OSError if it is too much.

    To open a pipe without a writer would wait for one for ever, and say nothing.
    """
    status = path.stat()
    if not (stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)):
        _bound(status.st_size)
        return path.read_bytes()
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return _read_pipe(opened)
    finally:
        os.close(opened)


def _read_pipe(opened: int) -> bytes:
    waiting = select.poll()
    waiting.register(opened, select.POLLIN)
    found = bytearray()
    while waiting.poll(PIPE_SECONDS * 1000):
        piece = os.read(opened, 1 << 16)
        if not piece:
            return bytes(found)
        found += piece
        _bound(len(found))
    raise OSError(errno.ETIMEDOUT, "it is a pipe, and nobody writes to it")


def _bound(size: int) -> None:
    if size > MAX_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def mended_secret(variable: str, value: str) -> tuple[str, str | None]:
    """Return a secret without what stands around it, and a note if there was something."""
    inside = without_surroundings(value)
    if inside == value or not inside:
        return value, None
    return inside, said_of(variable)


def decode_text(data: bytes, what: str) -> str:
    """Return the text of a file that people edit, or raise ValueError, in one line."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not UTF-8: save it in that encoding") from None
    if "\0" in text:
        raise ValueError(f"{what} is not UTF-8, or damaged: save it in that encoding")
    return text


def without_surroundings(text: str) -> str:
    """Return a value without the quotation marks and white space around it."""
    return _without_quotes(text.strip(_AROUND)).strip(_AROUND)


def said_of(variable: str) -> str:
    """Return what an operator is told of a variable that was changed so."""
    return f"{variable} is used without the quotation marks, white space or line break around it"


def _without_quotes(text: str) -> str:
    """Return what stands between a pair of quotation marks, if there is one around it all."""
    if len(text) < 2 or text[0] not in QUOTES or text[-1] != text[0]:  # noqa: PLR2004 - a pair
        return text
    inside = text[1:-1]
    is_object = inside.strip().startswith("{")  # JSON, which has some of its own
    return inside if is_object or text[0] not in inside else text
