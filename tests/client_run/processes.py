"""A process of many clients in one language: told by lines, telling by lines."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.conftest import SECRET
from tests.scenarios.clients import TALKING
from tests.stress.clients import Unsound

ROOT: Final = Path(__file__).parents[2]
TOKEN_SECONDS: Final = 5
ON_AN_ITEM: Final = 10  # clients of each language
IN_A_PROCESS: Final = 100  # clients, at most
PATIENCE: Final = 60.0  # seconds until all must have heard everything, once all goes well
LONGEST_LINE: Final = 1 << 30  # the logs of a long run
COMMANDS: Final = {
    "js": ["node", str(Path(__file__).with_name("watchers.js"))],
    "py": [sys.executable, "-m", "tests.client_run.watchers"],
}


class ClientProcess:
    """One process of clients, and what it has told last."""

    def __init__(self, process: asyncio.subprocess.Process, clients: int) -> None:
        self.has_ended = False
        self._process = process
        self._told: dict[str, Any] = {"away": ["all of them"] * clients, "errors": {}}

    @property
    def away(self) -> list[str]:
        """Return those that do not follow their item just now."""
        return list(self._told["away"])

    @property
    def errors(self) -> dict[str, int]:
        """Return what its clients were told, and how often."""
        return dict(self._told["errors"])

    async def read(self) -> None:
        """Read what it tells until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            self._told |= told
        self.has_ended = True

    async def ask(self, name: str, order: object) -> dict[str, Any]:
        """Give an order, and wait for what comes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        until = time.monotonic() + 2 * PATIENCE
        while name not in self._told:
            self.check()
            assert time.monotonic() < until, f"no {name}"
            await asyncio.sleep(0.05)
        return self._told

    def check(self) -> None:
        """Raise if it has ended, with clients and all."""
        if self.has_ended:
            raise Unsound("a process of clients has ended before its time")


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many clients of each language.

    Each publishes every `pace` seconds. Its first wait before it connects again is drawn from a
    `window` of so many seconds, or by its own default.
    """

    clients: int
    pace: float = 5.0
    window: float | None = None

    def parts_of(self, language: str) -> Iterator[Sequence[dict[str, str]]]:
        """Return the clients of each process; items are followed by clients of all languages."""
        everyone = [
            {"name": f"{language}-{number}", "item": f"run:{number // ON_AN_ITEM}"}
            for number in range(self.clients)
        ]
        for first in range(0, self.clients, IN_A_PROCESS):
            yield everyone[first : first + IN_A_PROCESS]


@asynccontextmanager
async def clients_of(
    language: str, url: str, clients: Sequence[dict[str, str]], crowd: Crowd
) -> AsyncIterator[ClientProcess]:
    """Start clients in a process of their own, and end it."""
    plan: dict[str, object] = {"url": url, "clients": clients, "patience": PATIENCE}
    plan |= {"secret": SECRET, "scope": TALKING, "token_seconds": TOKEN_SECONDS}
    plan |= {"pace": crowd.pace, "window": crowd.window}
    process = await asyncio.create_subprocess_exec(
        *COMMANDS[language],
        json.dumps(plan),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=LONGEST_LINE,
    )
    running = ClientProcess(process, len(clients))
    reading = asyncio.create_task(running.read())
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await asyncio.wait([reading])
