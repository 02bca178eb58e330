"""Short runs of `python -m tests.stress` on servers whose disk is full, or whose clock jumps."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from tests.small_disk import require_mount
from tests.stress.machine_faults import KEPT, MACHINE_FAULTS
from tests.stress.run import run
from tests.stress.soundness import Outcome

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
