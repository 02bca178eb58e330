"""How cost grows: the figures, the table, and a tiny run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.growth import SERIES, main, measure
from benchmarks.growth_report import (
    DATA,
    FIGURES,
    PAGE,
    PICTURE,
    Growth,
    as_markdown,
    load,
    with_figures,
)


def growing(power: float) -> Growth:
    """Return figures whose whole grows with this power."""
    points = {
        count: dict.fromkeys(FIGURES, 5.0 * count ** (power - 1)) for count in (1, 100, 1000, 9000)
    }
    points[1] = dict.fromkeys(FIGURES, 70_000.0)  # a server with one socket says nothing
    return Growth({"date": "today"}, {"sockets": points})


@pytest.mark.parametrize("power", [0.9, 1.0, 1.5, 2.0])
def test_tells_with_which_power_the_whole_grows(power: float) -> None:
    """Twice as many sockets with twice the cost each are four times the cost."""
    growth = growing(power)

    assert growth.exponent("sockets", "bytes") == pytest.approx(power)
    assert as_markdown(growth).count(f"n^{power:.2f}") == len(FIGURES)


def test_few_points_have_no_power() -> None:
    """A line needs two."""
    growth = growing(1)
    growth.points["sockets"] = {100: growth.points["sockets"][100]}

    assert growth.exponent("sockets", "bytes") is None
    assert growth.exponent("items", "bytes") is None


def test_measures_small_ones(tmp_path: Path) -> None:
    """Real servers are started, measured, stopped."""
    out = tmp_path / "growth.json"

    done = CliRunner().invoke(main, ["--quick", "--seconds", "0.2", "--out", str(out)])

    assert done.exit_code == 0, done.output
    growth = load(out)
    assert growth.problems == []
    assert {name: list(points) for name, points in growth.points.items()} == {
        "items": [20, 40],
        "sockets": [20, 40],
    }
    assert json.loads(out.read_text())["conditions"] == growth.conditions


def test_begins_nothing_when_the_time_is_over() -> None:
    """A run is bounded, and says what it has left out."""
    growth = measure(SERIES, 1.0, within=0)

    assert growth.points == {}
    assert "no time left for 15000 sockets" in growth.problems
    assert len(growth.problems) == sum(len(one.counts) for one in SERIES.values())


def test_the_figures_of_a_quick_run_are_not_for_the_docs() -> None:
    """They say nothing."""
    assert CliRunner().invoke(main, ["--quick", "--write-docs"]).exit_code == 2


def test_the_page_shows_what_was_measured() -> None:
    """If this fails, run `python -m benchmarks.growth_picture`."""
    page = PAGE.read_text()

    assert with_figures(page, load(DATA)) == page
    assert PICTURE.exists()
