"""The reports of a comparison of engines."""

import pytest

from benchmarks.comparison import Comparison, load
from benchmarks.engine_tables import DATA, PAGE, PICTURE, aims, as_markdown, with_figures
from benchmarks.trial import ADDED, ALONE, EIGHT_IN_FLIGHT, ONE_IN_FLIGHT, PACED, TRIPS, work_of
from itemwire.bench.results import GENERATOR_LIMIT, Result


def fanned(rate: float, p50: float, *problems: str, missing: int = 0) -> Result:
    """One window."""
    figures = {
        "per_s": rate,
        "p50_ms": p50,
        "p99_ms": 2 * p50,
        "missing": missing,
        "repeated": 0,
    }
    return Result("fanout", {}, figures, problems)


@pytest.fixture
def comparison() -> Comparison:
    """One round of memory, Redis and broadcaster; the last lost three deliveries."""
    found = Comparison({"medians of": "1"}, absent={"channels": "no environment"})
    for name, rate, p50 in (
        ("memory", 90_000, 3),
        ("redis", 70_000, 3.4),
        ("broadcaster", 7e3, 30),
    ):
        for way in (ONE_IN_FLIGHT, PACED):
            found.take(work_of(way, 1), name, fanned(rate, p50))
        lost = 3 if name == "broadcaster" else 0
        problems = ["3 deliveries are missing"] if lost else []
        found.take(work_of(EIGHT_IN_FLIGHT, 1), name, fanned(rate, p50, *problems, missing=lost))
        found.take(TRIPS, name, fanned(rate / 10, p50))
    found.take(ADDED, "redis", Result("fanout", {}, {"added_ms": 0.4}))
    found.take(ADDED, "memory", Result("fanout", {}, {"added_ms": 0.1}))
    for in_flight in (1, 32):
        found.take(work_of(ALONE, in_flight), "redis", fanned(in_flight * 900, 0.2))
    return found


def test_each_contender_has_a_row(comparison: Comparison) -> None:
    """With its rate beside broadcaster's, how late it was, and what it lost."""
    lines = as_markdown(comparison).splitlines()

    assert (
        lines[3]
        == "| Itemwire, redis | 70,000 | 10.00 | 3.4, 6.8 | 3.4, 6.8 | 0, 0 | 0.40 | 7,000 |"
    )
    assert lines[4].startswith("| broadcaster, redis | 7,000 | 1.00 | 30.0, 60.0 |")
    assert "| 3, 0 | - |" in lines[4]
    assert "| Itemwire, redis | 28,800 | 0.20, 0.40 | 0.20, 0.40 |" in lines


def test_what_was_wrong_and_who_is_absent_is_said(comparison: Comparison) -> None:
    """Below the tables."""
    text = as_markdown(comparison)

    assert "- broadcaster, redis (8 in flight, 1): 3 deliveries are missing" in text
    assert "- Django Channels, redis is absent: no environment" in text


def test_a_rate_that_the_generator_held_down_is_a_lower_bound(comparison: Comparison) -> None:
    """The server may be faster, and the table says so."""
    comparison.fail(work_of(EIGHT_IN_FLIGHT, 1), "redis", GENERATOR_LIMIT)

    assert "| Itemwire, redis | ≥ 70,000 |" in as_markdown(comparison)


def test_says_which_aims_were_reached(comparison: Comparison) -> None:
    """Ten times broadcaster, 28,800 stored a second, 0.3 ms more than memory."""
    faster, stored, added = aims(comparison)

    assert "10.0 times as much as broadcaster (at least 5: reached)" in faster
    assert "stores 28,800 messages a second with 32 in flight (at least 20,000: reached)" in stored
    assert "Redis adds 0.30 ms to the median of one node, beyond the 0.10 ms of memory" in added


def test_an_aim_that_is_missed_is_said(comparison: Comparison) -> None:
    """Nothing is hidden."""
    comparison.cells[work_of(EIGHT_IN_FLIGHT, 1)]["redis"].runs[0]["per_s"] = 34_000

    assert "(at least 5: missed)" in next(aims(comparison))


def test_the_page_shows_what_was_measured() -> None:
    """If this fails, run `python -m benchmarks.engine_picture`."""
    page = PAGE.read_text()

    assert with_figures(page, load(DATA)) == page
    assert PICTURE.exists()
