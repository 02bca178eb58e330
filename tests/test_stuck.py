"""The load of `python -m tests.stuck`, for a few seconds: stuck readers cost memory once."""

from __future__ import annotations

import pytest

from itemwire.channels.limits.slow_consumers import SlowConsumerPolicy
from tests.stuck import Load, run

pytestmark = pytest.mark.server

# At a rate that healthy readers keep up with on a busy machine: an outbox that is full ends them.
LOAD = Load(stuck=5, healthy=5, seconds=4.5, rate=130, size=16_000)


def test_stuck_readers_harm_nobody_and_what_they_miss_is_told() -> None:
    """Some 10 MB for each, whose outbox holds 1 (requirements 93, 112)."""
    _, found = run(LOAD)

    assert found.missing == 0
    assert set(found.logs[SlowConsumerPolicy.DISCONNECT]) <= {"slow_consumer", "cut"}
    for word in (SlowConsumerPolicy.DROP_OLDEST, SlowConsumerPolicy.DROP_NEWEST):
        assert found.logs[word] == ["whole"] * LOAD.stuck
    assert found.memory[-1] - found.memory[0] < 40 << 20
