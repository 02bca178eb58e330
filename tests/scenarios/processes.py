"""Servers in processes of their own, started by the commands that users type."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from itemwire.settings import PREFIX
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import PATIENCE

LISTENING = re.compile(
    r"(?:[Ll]istening on|[Ll]istening at:|[Rr]unning on|\"listening\", \"url\":) \"?(http://[^\s\"]+)"
)


@dataclass(frozen=True, slots=True)
class Started:
    """A server in another process; its lines are complete once it has ended."""

    server: LiveServer
    process: subprocess.Popen[str]
    lines: list[str]

    def stop(self) -> None:
        """Ask it to stop, as a supervisor does, and do not wait."""
        self.process.terminate()


@contextmanager
def started(command: Sequence[str], folder: Path, **settings: str) -> Iterator[Started]:
    """Run a command until it is no longer needed, with the tests' secret and these settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own |= {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
    own |= {"ITEMWIRE_SECRET": SECRET, "PYTHONUNBUFFERED": "1"}
    lines: list[str] = []
    found: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(
        command,
        env=own,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a group of its own: some servers work in children
    ) as process:

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if announced := LISTENING.search(line):
                    found.put(announced[1])

        reader = threading.Thread(target=read)
        reader.start()
        try:
            # The server object stands in for the one in the other process.
            server = LiveServer(_address(found, process, lines), uvicorn.Server(uvicorn.Config("")))
            try:
                _wait_until_ready(server)
            except httpx.HTTPError as error:
                raise RuntimeError(f"it is not ready: {error}\n{''.join(lines)}") from error
            yield Started(server, process, lines)
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # a child would keep the pipe open
                reader.join(PATIENCE)


def _address(found: queue.Queue[str], process: subprocess.Popen[str], lines: list[str]) -> str:
    """Wait until the server has said where it listens, or has ended; its log says why."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return found.get(timeout=0.1)
        except queue.Empty:
            if process.poll() is not None or time.monotonic() > deadline:
                ended = "" if process.poll() is None else f", and ended with {process.returncode}"
                raise RuntimeError(f"it has not begun{ended}\n{''.join(lines)}") from None


def _wait_until_ready(server: LiveServer) -> None:
    """Ask until somebody answers: granian announces its address before it listens there."""
    with httpx.Client(transport=httpx.HTTPTransport(retries=6), timeout=PATIENCE) as client:
        client.get(f"{server.url}/health/ready").raise_for_status()
