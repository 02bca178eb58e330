"""Latencies in bounded memory."""

import pytest

from itemwire.bench.histogram import HIGHEST, LatencyHistogram


@pytest.mark.parametrize("value", [1, 255, 256, 1_000, 123_456, 9_999_999, 12_345_678_901])
def test_a_value_is_returned_to_within_one_per_cent(value: int) -> None:
    """The buckets grow with the value, so the error does too, and no more."""
    histogram = LatencyHistogram()
    histogram.record(value)
    histogram.record(value * 2)

    assert value <= histogram.quantile(0.5) <= value * 1.01


def test_quantiles_are_those_of_the_values() -> None:
    """Half of 1 to 1000 is not above 500, 99 % not above 990."""
    histogram = LatencyHistogram()
    for value in range(1, 1001):
        histogram.record(value * 1000)

    assert histogram.quantile(0.5) == pytest.approx(500_000, rel=0.01)
    assert histogram.quantile(0.99) == pytest.approx(990_000, rel=0.01)
    assert histogram.highest == 1_000_000


def test_a_day_is_counted_as_the_highest_bucket() -> None:
    """The memory has a bound, so the values need one."""
    histogram = LatencyHistogram()
    histogram.record(24 * 3600 * 10**9)

    assert histogram.quantile(0.5) >= HIGHEST
    assert histogram.total == 1


def test_no_values_have_no_quantile() -> None:
    """A window in which nothing came still has a line in the report."""
    assert LatencyHistogram().figures_ms() == {"p50_ms": 0, "p95_ms": 0, "p99_ms": 0, "max_ms": 0}
