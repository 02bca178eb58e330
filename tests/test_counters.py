"""Counters and histograms: in which bucket a value falls, and by which labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.close_reasons import CLOSE_REASONS
from itemwire.counters import SECONDS, MetricHistogram, OperationCounters, known_reason


def test_a_value_on_a_bound_is_not_above_it() -> None:
    """Prometheus calls the bound `le`: less or equal."""
    histogram = MetricHistogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)

    assert histogram.cumulative() == [(1.0, 2), (2.0, 4), (float("inf"), 5)]
    assert (histogram.count, histogram.total) == (5, 7.5)


@given(values=st.lists(st.floats(min_value=0, max_value=100)))
def test_counts_every_value_up_to_every_bound(values: list[float]) -> None:
    """As a slow and plain count says."""
    histogram = MetricHistogram()
    for value in values:
        histogram.observe(value)

    bounds = (*SECONDS, float("inf"))
    assert histogram.cumulative() == [(le, sum(value <= le for value in values)) for le in bounds]


@pytest.mark.parametrize("reason", ["", "a reason of the application", "Forbidden", "other"])
def test_a_reason_that_is_not_in_the_registry_is_another(reason: str) -> None:
    """An application may put a name into each; a label must not grow with that (requirement 80)."""
    assert known_reason(reason) == "other"


def test_a_reason_of_the_registry_is_told() -> None:
    """The accepted twin."""
    assert [known_reason(reason) for reason in CLOSE_REASONS] == list(CLOSE_REASONS)


def test_what_is_done_was_answered_and_not_by_an_error() -> None:
    """So that what is published need not be counted twice."""
    counters = OperationCounters(pending=1, errors=2)
    for _ in range(5):
        counters.seconds.observe(0.1)

    assert counters.done == 3
