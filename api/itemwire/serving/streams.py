"""Keeps standard input, output and error open and harmless: no log line ends the server.

A supervisor may have closed them, the program that read them may be gone, the disk may be full.
"""

import io
import os
import sys
from typing import Any, Final, TextIO

from typing_extensions import override

STANDARD: Final = (0, 1, 2)


class LossyFile(io.FileIO):
    """A file whose writes never fail: what cannot be written is dropped."""

    @override
    def write(self, data: Any, /) -> int:  # any buffer, as in the base class
        """Write, and say that all of it was written."""
        try:
            written = super().write(data)
        except OSError:
            return len(data)
        return len(data) if written is None else written  # None: a pipe that is full


def keep_streams_open() -> None:
    """Open those of the standard descriptors that are closed, on nothing.

    The next socket would take their number, and what is printed would be sent to a client.
    """
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = sys.stdout or _open(1)
    sys.stderr = sys.stderr or _open(2)


def drop_what_cannot_be_written() -> None:
    """Let no fault of standard output or error end a server, now or at its exit."""
    keep_streams_open()
    if sys.stdout is sys.__stdout__ or sys.__stdout__ is None:  # else a test has replaced it
        sys.stdout = _open(1)
    if sys.stderr is sys.__stderr__ or sys.__stderr__ is None:
        sys.stderr = _open(2)


def _open(number: int) -> TextIO:
    file = io.BufferedWriter(LossyFile(number, "w", closefd=False))
    return io.TextIOWrapper(
        file, "utf-8", errors="backslashreplace", line_buffering=True, write_through=True
    )
