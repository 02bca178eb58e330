"""The hour behind, at two resolutions, in a bounded memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from itemwire.ops.hour import LAST_SECONDS, STEP_SECONDS, STEPS, Hour
from itemwire.ops.samples import NOTHING


def test_is_empty_before_the_first_second() -> None:
    """A page that opens right after the start gets a list all the same."""
    hour = Hour()

    assert (hour.samples(), hour.newest) == ([], NOTHING)


def test_keeps_each_second_of_the_last_minute_and_each_ten_of_the_hour() -> None:
    """In order, without a second that is told twice."""
    hour = Hour()
    for second in range(2 * 3600):
        hour.add(replace(NOTHING, at=float(second), connections=second))
    samples = hour.samples()
    steps = [later.at - earlier.at for earlier, later in pairwise(samples)]

    assert samples[-1].at == hour.newest.at == 2 * 3600 - 1
    assert steps[-(LAST_SECONDS - 1) :] == [1.0] * (LAST_SECONDS - 1)
    assert set(steps[: -(LAST_SECONDS - 1)]) <= {1.0, float(STEP_SECONDS)}
    assert 3590 <= samples[-1].at - samples[0].at <= 3600
    assert len(samples) <= STEPS + LAST_SECONDS


def test_a_few_seconds_are_all_there() -> None:
    """Those that are in a step already are not told as one."""
    hour = Hour()
    for second in range(25):
        hour.add(replace(NOTHING, at=float(second)))

    assert [one.at for one in hour.samples()] == [float(second) for second in range(25)]
