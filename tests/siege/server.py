"""The server under siege: `itemwire serve` in a process of its own, on a core of its own."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.scenarios.processes import Started, started
from tests.siege.cores import server_cores
from tests.siege.figures import cpu_seconds, descriptors

LOOK_SECONDS: Final = 0.05
QUIET_SECONDS: Final = 15.0  # until a server must be quiet once its attackers have gone
IDLE_CPU: Final = 0.002  # seconds in LOOK_SECONDS: timers and nothing else
IDLE_LOOKS: Final = 2

PROGRAM: Final = """
import os, resource, sys
os.sched_setaffinity(0, {cores})
if {files}:
    resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))
from itemwire.cli import main
main()
"""


@dataclass(frozen=True, slots=True)
class Besieged:
    """A running server, as who measures it sees it."""

    started: Started

    @property
    def pid(self) -> int:
        """Return the id of its process."""
        return self.started.process.pid

    @property
    def url(self) -> str:
        """Return the address at which it listens."""
        return self.started.server.url

    @property
    def log_bytes(self) -> int:
        """Return how much it has logged."""
        return sum(map(len, list(self.started.lines)))

    async def until_quiet(self, expected: int) -> int:
        """Wait until it has no more than the expected descriptors, and no work.

        Return how many descriptors it has too many if it does not come to that in time.
        """
        deadline, idle = time.monotonic() + QUIET_SECONDS, 0
        while idle < IDLE_LOOKS and time.monotonic() < deadline:
            before = cpu_seconds(self.pid)
            await asyncio.sleep(LOOK_SECONDS)
            is_idle = cpu_seconds(self.pid) - before < IDLE_CPU
            idle = idle + 1 if is_idle and descriptors(self.pid) <= expected else 0
        return max(descriptors(self.pid) - expected, 0)


@contextmanager
def besieged(settings: Mapping[str, str], files: int = 0) -> Iterator[Besieged]:
    """Run a server with these settings; `files` is how many it may have open, 0: as we may."""
    program = PROGRAM.format(cores=server_cores(), files=files)
    command = [sys.executable, "-c", program, "serve", "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        started(command, Path(folder), **settings) as running,
    ):
        yield Besieged(running)
