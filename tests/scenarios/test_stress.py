"""A short run of `python -m tests.stress`: stuck readers, breaks, and a kill in the middle."""

import asyncio
from pathlib import Path

import pytest

from tests import stress

SECONDS = 3.0


@pytest.mark.parametrize(
    ("engine", "is_durable"),
    [
        pytest.param("memory://", False, id="memory"),
        pytest.param("sqlite:///stress.db", True, id="sqlite"),
    ],
)
def test_every_subscribers_log_is_sound(tmp_path: Path, engine: str, is_durable: bool) -> None:
    """No hole, no repeat, one order, nothing lost without a word (requirements 109-114)."""
    outcome = asyncio.run(stress.run(engine, tmp_path, SECONDS))

    outcome.check(is_durable=is_durable)
    assert sum(len(one.acknowledged) for one in outcome.publishers) > 100
    assert sum(one.resumed for one in outcome.watchers) > 0
