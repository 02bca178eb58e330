"""Builds what is published, without a network: hatchling comes with the extra `dev`."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 300  # a busy machine may take its time


def environment_outside() -> dict[str, str]:
    """Return the environment of a shell that knows nothing of this checkout and this run."""
    ours = ("COV", "ITEMWIRE_", "PYTEST_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def run(command: Sequence[str | Path], folder: Path, **variables: str) -> str:
    """Run a command that must succeed, outside of this checkout; return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment_outside() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(kind: str, folder: Path) -> Path:
    """Build a `wheel` or an `sdist` into a folder and return its path."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        f"--{kind}",
        "--outdir",
        folder,
    ]
    run([*command, ROOT], folder)
    (built,) = folder.iterdir()
    return built
