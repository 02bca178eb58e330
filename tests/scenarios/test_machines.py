"""Short runs of `python -m tests.stress` on servers whose disk is full, or whose clock jumps."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.scenarios.clients import PATIENCE
from tests.small_disk import require_mount
from tests.stress.machine_faults import KEPT, MACHINE_FAULTS
from tests.stress.run import run
from tests.stress.soundness import Outcome

CHECKOUT: Final = Path(__file__).parents[2]
PACE: Final = 0.03  # seconds: all clients of all runs share this process


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome | BaseException]:
    """Run all of them together, each with one node: most of the time they wait."""
    require_mount()
    folders = {name: tmp_path_factory.mktemp(name) for name in MACHINE_FAULTS}

    async def run_all() -> list[Outcome | BaseException]:
        runs = []
        for name, folder in folders.items():
            plan = [fault for fault in MACHINE_FAULTS[name] if fault not in KEPT]
            runs.append(run(name, folder, plan, calm=0.1, pace=PACE))
        return await asyncio.gather(*runs, return_exceptions=True)

    return dict(zip(folders, asyncio.run(run_all()), strict=True))


@pytest.mark.parametrize("engine", MACHINE_FAULTS)
def test_every_subscribers_log_is_sound(
    outcomes: dict[str, Outcome | BaseException], engine: str
) -> None:
    """Nothing acknowledged is lost without a word, nobody is left in silence (109, 134, 144)."""
    outcome = outcomes[engine]
    if isinstance(outcome, BaseException):
        raise outcome

    outcome.check()
    assert outcome.acknowledged > 20
    assert outcome.refused > 0


def test_a_run_that_is_told_to_end_leaves_no_disk_behind(tmp_path: Path) -> None:
    """A supervisor says SIGTERM; what was begun is ended as after the last fault."""
    require_mount()
    command = [sys.executable, "-m", "tests.stress", "--engine", "sqlite+machine"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        assert "0.0 s" in run.stderr.readline()  # the first fault is about to be
        assert str(tmp_path) in mounts()
        run.terminate()
        run.stderr.read()
        assert run.wait(PATIENCE) != 0
    assert str(tmp_path) not in mounts()


def mounts() -> str:
    """List what is mounted."""
    return Path("/proc/mounts").read_text()
