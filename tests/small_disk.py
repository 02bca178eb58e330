"""A small disk of a test's own, which can be filled and given room again: a tmpfs."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.continuous_integration import is_continuous_integration

MISSING: Final = "a full disk cannot be tried here: `mount -t tmpfs` is refused"
PIECES: Final = (1 << 20, 4096, 1)  # bytes; small ones for what large ones leave


class SmallDisk:
    """A folder with a disk of its own beneath it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    @contextlib.contextmanager
    def filled(self) -> Iterator[None]:
        """Take all space that is free while this is entered."""
        self._fill()
        try:
            yield
        finally:
            self._ballast.unlink()

    def _fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as ballast:
            for size in PIECES:
                _write_all(ballast.fileno(), b"x" * size)


def _write_all(file: int, piece: bytes) -> None:
    """Write a piece again and again, until there is no room for it."""
    try:
        while True:
            os.write(file, piece)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@functools.cache
def can_mount() -> bool:
    """Return whether this process may give a folder a disk of its own."""
    with tempfile.TemporaryDirectory() as name:
        is_mounted = _mount(Path(name), 1)
        if is_mounted:
            _unmount(Path(name))
    return is_mounted


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Put a disk of that size beneath a folder, which is empty, for as long as this is entered."""
    assert _mount(folder, megabytes), MISSING
    try:
        yield SmallDisk(folder)
    finally:
        _unmount(folder)


def require_mount() -> None:
    """Skip the test that needs a disk of its own where there can be none; in CI, fail it."""
    if not can_mount():
        if is_continuous_integration(os.environ):
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)


def _mount(folder: Path, megabytes: int) -> bool:
    options = f"size={megabytes}m,mode=0755"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _unmount(folder: Path) -> None:
    # Lazily: it goes once the last process that has a file open there has ended.
    subprocess.run(["umount", "-l", folder], capture_output=True, check=True)
