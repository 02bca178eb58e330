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

IDLE = "memory of an idle connection (PSS), bytes |"


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


@pytest.mark.parametrize(
    ("user", "system", "shown"),
    [(5.25, 3.5, "5.25 + 3.50 µs"), (9.04, 3.1, "9.0 + 3.1 µs"), (140.2, 60, "140 + 60 µs")],
)
def test_the_processor_time_of_the_server_stands_beside_a_rate(
    comparison: Comparison, user: float, system: float, shown: str
) -> None:
    """In user mode and in the kernel: a rate that the load generator holds down hides it."""
    figures = {"per_s": 9000.0, "user_us": user, "sys_us": system}
    comparison.take("echo", "itemwire", Result("echo", {}, figures))

    assert f"| 9,000<br>-<br>{shown} |" in as_markdown(comparison)
    assert any(line.endswith(shown) for line in as_text(comparison).splitlines())


def test_other_ways_to_run_it_have_a_table_of_their_own(comparison: Comparison) -> None:
    """With the works that they were measured at, and without a column beside other servers."""
    assert "run as" not in as_markdown(comparison)
    comparison.take("fanout-8", "itemwire_granian", fanout(50_000))

    first, second, _ = as_markdown(comparison).split("\n\n")

    assert "Granian" not in first
    head, *rows = second.splitlines()
    assert head.endswith("| 1 item x 1000, 8 in flight, deliveries/s | " + IDLE)
    assert rows == [
        "| --- | ---: | ---: |",
        "| Itemwire | 700,000<br>p99 3.0 ms | 3,000 |",
        "| Itemwire on Granian | 50,000<br>p99 3.0 ms | - |",
    ]


def test_what_is_saved_is_read_back(comparison: Comparison, tmp_path: Path) -> None:
    """The page can be made again without measuring again."""
    comparison.save(tmp_path / "runs.json")

    assert load(tmp_path / "runs.json") == comparison


def test_the_page_shows_what_was_measured() -> None:
    """If this fails, run `python -m benchmarks.plot`."""
    page = PAGE.read_text()

    assert with_table(page, load(DATA)) == page
    assert PICTURE.exists()
