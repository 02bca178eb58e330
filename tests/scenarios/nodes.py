"""Nodes as an operator runs them, and how tests wait for what happens in them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import httpx

from itemwire.testing import LiveServer
from tests.scenarios.clients import (
    PATIENCE,
)
from tests.scenarios.processes import Started, started
from tests.timing import BUSY_SECONDS

FELT_SECONDS: Final = 2.0 + BUSY_SECONDS  # in which what one node is told is done by all
METRICS_TOKEN: Final = "a-token-for-the-metrics-of-40-characters"
MAX_SOCKETS: Final = 6  # of one subject


def node(folder: Path, engine_url: str, *options: str) -> AbstractContextManager[Started]:
    """Run `itemwire serve` as an operator does."""
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0", *options]
    return started(
        command,
        folder,
        engine_url=engine_url,
        admin="true",
        metrics_token=METRICS_TOKEN,
        graceful_timeout="3",
        max_subject_connections=str(MAX_SOCKETS),
    )


def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Look again and again: what is waited for is in another process."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def is_ready(server: LiveServer) -> bool:
    """Ask as a load balancer does."""
    return httpx.get(f"{server.url}/health/ready", timeout=PATIENCE).status_code == 200
