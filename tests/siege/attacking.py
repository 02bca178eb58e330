"""Starts the attacker's process, and tells it what to do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tests.siege.attack import Order, Outcome
from tests.siege.server import Besieged

ROOT: Final = Path(__file__).parents[2]
ORDER_SECONDS: Final = 30.0  # beyond which an attacker is stuck


class AttackerLost(Exception):
    """The attacker's process ended, or did not answer."""


@dataclass(frozen=True, slots=True)
class Attacker:
    """A process that attacks one server."""

    process: subprocess.Popen[bytes]

    async def obey(self, order: Order) -> Outcome:
        """Have an order carried out, and return what came of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(msgspec.json.encode(order) + b"\n")
            self.process.stdin.flush()
        reading = asyncio.create_task(asyncio.to_thread(self.process.stdout.readline))
        done, _ = await asyncio.wait([reading], timeout=ORDER_SECONDS)
        if not done:
            self.process.kill()  # the reading ends
        line = await reading
        if not line:
            raise AttackerLost
        return msgspec.json.decode(line, type=Outcome)


@contextmanager
def attacking(server: Besieged) -> Iterator[Attacker]:
    """Start the attacker's process; it ends with the siege, whatever it is doing."""
    address = urlsplit(server.url)
    where = [str(address.hostname), str(address.port), str(server.pid)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.siege.attacker", *where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
    ) as process:
        try:
            yield Attacker(process)
        finally:
            process.kill()
