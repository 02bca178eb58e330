"""An engine process, as a supervisor starts it, at a socket of a test's own."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from typing_extensions import override

from itemwire.serving.engine_server import EngineOptions
from tests.server_process import ServerProcess


class EngineServerProcess(ServerProcess):
    """The process that a supervisor's workers share; it ends when this one does."""

    def __init__(self, folder: Path, url: str = "memory://") -> None:
        super().__init__(folder)
        self.path = str(folder / "engine.sock")
        options = EngineOptions(url, self.path, 0, 0, "info", "text")
        self.first_words = msgspec.json.encode(options) + b"\n"

    @property
    def url(self) -> str:
        """Give the URL that leads to it."""
        return f"itemwire+unix://{self.path}"

    @override
    def _command(self) -> list[str]:
        return [sys.executable, "-m", "itemwire.serving.engine_server"]

    @override
    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asking:
            return asking.connect_ex(self.path) == 0


@contextlib.contextmanager
def running_engine(folder: Path, url: str = "memory://") -> Iterator[EngineServerProcess]:
    """Run one for as long as this is entered."""
    process = EngineServerProcess(folder, url)
    process.start()
    try:
        yield process
    finally:
        process.kill()


@contextlib.contextmanager
def unix_url(folder: Path) -> Iterator[str]:
    """Give the URL of a process that has everything in its memory."""
    with running_engine(folder) as process:
        yield process.url
