"""The reports of a comparison."""

from pathlib import Path

import pytest

from benchmarks.comparison import (
    DATA,
    PAGE,
    PICTURE,
    Comparison,
    as_markdown,
    as_text,
    load,
    with_table,
)
from itemwire.bench.results import GENERATOR_LIMIT, Result


def fanout(per_s: float, *problems: str) -> Result:
    """One run."""
    return Result("fanout", {}, {"per_s": per_s, "p99_ms": 3.0}, problems)


def idle(size: float) -> Result:
    """One run."""
    return Result("idle", {}, {"bytes_per_connection": size})


@pytest.fixture
def comparison() -> Comparison:
    """Three rounds of one work and one of another, with a peer that is absent."""
    found = Comparison({"medians of": "3"}, absent={"picows": "No module named 'picows'"})
    for mine, tutorial in ((700_000, 90_000), (7, 100_000), (800_000, 110_000)):
        found.take("fanout-8", "itemwire", fanout(mine))
        found.take("fanout-8", "tutorial003", fanout(tutorial))
    found.take("idle", "itemwire", idle(3000))
    found.take("idle", "tutorial003", idle(33_000))
    return found


def test_a_ratio_is_that_of_medians(comparison: Comparison) -> None:
    """One run that was disturbed does not show."""
    assert comparison.ratio("fanout-8", "itemwire") == 7
    assert comparison.ratio("fanout-8", "tutorial003") == 1


def test_less_memory_is_better(comparison: Comparison) -> None:
    """A ratio above 1 is always for the peer."""
    assert comparison.ratio("idle", "itemwire") == 11


@pytest.mark.parametrize("size", [0, -100])
def test_memory_that_cannot_be_told_has_no_ratio(comparison: Comparison, size: float) -> None:
    """A server that had memory to spare took none: that is not infinitely better."""
    comparison.take("idle", "socketify", idle(size))

    assert comparison.ratio("idle", "socketify") is None


def test_the_text_has_a_line_a_peer(comparison: Comparison) -> None:
    """With who is absent, and why."""
    lines = as_text(comparison).splitlines()

    assert lines[0] == "1 item x 1000, 8 in flight (deliveries/s)"
    assert lines[1].split() == ["Itemwire", "700,000", "p99", "3.00", "ms", "7.00", "x"]
    assert "absent: picows: No module named 'picows'" in lines


def test_a_problem_is_shown_once(comparison: Comparison) -> None:
    """However many rounds had it."""
    for _ in range(2):
        comparison.take("fanout-8", "itemwire", fanout(1, "3 deliveries are missing"))
        comparison.fail("fanout-8", "websockets", "refused")

    text = as_text(comparison)
    assert text.count("3 deliveries are missing") == text.count("refused") == 1


def test_the_table_has_a_column_a_peer(comparison: Comparison) -> None:
    """And a row a work; the page keeps what is around it."""
    page = "before\n\n<!-- figures -->\n\nold\n\n<!-- /figures -->\n\nafter\n"

    table = as_markdown(comparison)
    renewed = with_table(page, comparison)

    assert table.splitlines()[0] == "| work | unit | Itemwire | FastAPI tutorial |"
    assert "| 700,000<br>7.00 x<br>p99 3.0 ms |" in table
    assert renewed == page.replace("old", table)
    assert with_table(renewed, comparison) == renewed


def test_a_figure_that_the_generator_held_down_is_a_lower_bound(comparison: Comparison) -> None:
    """The server may be faster, and the table says so."""
    comparison.fail("fanout-8", "itemwire", GENERATOR_LIMIT)

    assert "| ≥ 700,000<br>" in as_markdown(comparison)


def test_what_is_saved_is_read_back(comparison: Comparison, tmp_path: Path) -> None:
    """The page can be made again without measuring again."""
    comparison.save(tmp_path / "runs.json")

    assert load(tmp_path / "runs.json") == comparison


def test_the_page_shows_what_was_measured() -> None:
    """If this fails, run `python -m benchmarks.plot`."""
    page = PAGE.read_text()

    assert with_table(page, load(DATA)) == page
    assert PICTURE.exists()
