"""Servers of the tests' own, on free ports: killed, stopped, started again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

START_SECONDS: Final = 30.0


def free_port() -> int:
    """Find a port that nobody listens on just now, and that no connection gets for itself.

    From the range for connections, one to a server that is down may meet itself, and hold its port.
    """
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def wait_until_stopped(processes: Sequence[int]) -> None:
    """Wait until no thread of the processes runs: on a busy machine some go on after SIGSTOP."""
    deadline = time.monotonic() + START_SECONDS
    while not all(_is_stopped(process) for process in processes):
        assert time.monotonic() < deadline, "it does not stop"
        time.sleep(0.001)


def _is_stopped(process: int) -> bool:
    threads = Path(f"/proc/{process}/task").glob("*/stat")
    return all(_state_of(thread) in "TZ" for thread in threads)


def _state_of(thread: Path) -> str:
    try:
        return thread.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return "Z"


class ServerProcess(ABC):
    """One server process; its log is in a folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self.environment: dict[str, str] = {}  # beside what this process has
        self.first_words = b""  # on its standard input, which stays open with them
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """Give what it is started with."""
        ...

    @abstractmethod
    def _answers(self) -> bool:
        """Tell whether it serves."""
        ...

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / f"{self.port}.log").open("ab") as log:
            environment = os.environ | self.environment
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE if self.first_words else None,
                stdout=log,
                stderr=log,
                env=environment,
            )
        if self._process.stdin is not None:
            self._process.stdin.write(self.first_words)
            self._process.stdin.flush()
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, f"it ended: see {log.name}"
            assert time.monotonic() < deadline, f"no answer: see {log.name}"
            time.sleep(0.01)

    def wait_until_ended(self) -> None:
        """Wait until it ends by itself."""
        assert self._process is not None
        self._process.wait(START_SECONDS)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._bury()

    def stop(self) -> None:
        """End it in order, as for an ordinary restart."""
        assert self._process is not None
        self._process.terminate()
        self._bury()

    def _bury(self) -> None:
        assert self._process is not None
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(START_SECONDS)
        self._process = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let it do nothing: its port is open, and nobody is there."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        wait_until_stopped([self._process.pid])
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)
