"""Short runs of `python -m tests.stress`, side by side: each engine with its faults."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from tests.stress.engines import ENGINE_SERVERS
from tests.stress.faults import FAULTS
from tests.stress.run import run
from tests.stress.soundness import Outcome

ALONE: Final = {"memory": "memory://", "sqlite": "sqlite:///stress.db"}
PACE: Final = 0.03  # seconds: all clients of all runs share this process

# Connections that die unheard are tried on every engine by its contract; here by turns, for time.
BY_TURNS: Final = {
    "nats": ("engine-restarted", "half-answer"),
    "postgresql": ("lost-close", "restarted-unheard"),
    "redis": ("terminated", "standstill"),
    "unix": ("engine-restarted", "lost-close"),
}


def planned(engine: str) -> list[str]:
    """List the faults of an engine's run.

    First of all the node: its members are waited for in the end, and take their time to be gone.
    """
    elsewhere = {name for names in BY_TURNS.values() for name in names} - set(BY_TURNS[engine])
    return sorted(FAULTS.keys() - elsewhere, key=["node-killed", *FAULTS].index)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome | BaseException]:
    """Run all of them together: most of the time they wait."""
    folders = {name: tmp_path_factory.mktemp(name) for name in (*ALONE, *ENGINE_SERVERS)}

    async def run_all() -> list[Outcome | BaseException]:
        return await asyncio.gather(
            *(run(url, folders[name], ["node-killed"], pace=PACE) for name, url in ALONE.items()),
            *(
                run(name, folders[name], planned(name), nodes=2, calm=0.1, pace=PACE, seed=seed)
                for seed, name in enumerate(ENGINE_SERVERS)
            ),
            return_exceptions=True,
        )

    return dict(zip(folders, asyncio.run(run_all()), strict=True))


@pytest.mark.parametrize("engine", [*ALONE, *ENGINE_SERVERS])
def test_every_subscribers_log_is_sound(
    outcomes: dict[str, Outcome | BaseException], engine: str
) -> None:
    """No hole, no repeat, one order, no silence, nothing lost without a word (109-115, 117).

    On a shared engine there are two nodes, and clients of both, while it is killed, emptied,
    stopped, cut off and slow, and while a node is killed.
    """
    outcome = outcomes[engine]
    if isinstance(outcome, BaseException):
        raise outcome

    outcome.check()
    assert outcome.acknowledged > 20
    assert outcome.resumed > 0
