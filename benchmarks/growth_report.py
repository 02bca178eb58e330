"""What a socket and a message cost as there are more of them: the figures as a table."""

import json
import math
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.comparison import DOCS, NOTHING, three_figures

PAGE: Final = DOCS / "growth.md"
PICTURE: Final = DOCS / "growth.svg"
DATA: Final = DOCS / "growth.json"
BLOCK: Final = re.compile(r"(<!-- figures -->\n\n).*?(\n\n<!-- /figures -->)", re.DOTALL)

LEAST: Final = 100  # sockets from which on a point counts: below, a process has memory to spare
LEAST_POINTS: Final = 2

FIGURES: Final = {
    "bytes": "memory of a socket (PSS), bytes",
    "handshake_us": "processor time of a handshake, µs",
    "delivery_us": "processor time of a delivery, µs",
}
TITLES: Final = {"sockets": "sockets on one item", "items": "items with one socket each"}


@dataclass(slots=True)
class Growth:
    """The figures of each point, by series and by count."""

    conditions: dict[str, str]
    points: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def line(self, series: str, figure: str) -> list[tuple[int, float]]:
        """Return the counts with a figure of each, where it says something."""
        found = sorted(self.points.get(series, {}).items())
        return [(count, one[figure]) for count, one in found if one.get(figure, 0) > 0]

    def exponent(self, series: str, figure: str) -> float | None:
        """Return the power of the count with which the whole grows: 1 is in proportion.

        It is the slope through all points of 100 and more on log scales; None if they are few.
        """
        line = [(count, value) for count, value in self.line(series, figure) if count >= LEAST]
        if len(line) < LEAST_POINTS:
            return None
        counts = [math.log(count) for count, _ in line]
        wholes = [math.log(count * value) for count, value in line]
        return statistics.linear_regression(counts, wholes).slope


def load(path: Path) -> Growth:
    """Load saved figures."""
    document = json.loads(path.read_text())
    points = {
        series: {int(count): figures for count, figures in line.items()}
        for series, line in document["points"].items()
    }
    return Growth(document["conditions"], points, document["problems"])


def as_markdown(growth: Growth) -> str:
    """Return a table for each series, with the power with which each figure grows in all."""
    tables = [_table(growth, series) for series in growth.points]
    conditions = ", ".join(f"{name} {value}" for name, value in growth.conditions.items())
    return "\n\n".join([*tables, *growth.problems, conditions])


def with_figures(page: str, growth: Growth) -> str:
    """Return a page with what is between its marks replaced."""
    return BLOCK.sub(lambda marks: marks[1] + as_markdown(growth) + marks[2], page)


def _table(growth: Growth, series: str) -> str:
    rows = [[TITLES[series], *FIGURES.values()], ["---:"] * (1 + len(FIGURES))]
    for count, figures in sorted(growth.points[series].items()):
        shown = (_shown(figures.get(figure, 0)) for figure in FIGURES)
        rows.append([f"{count:,}", *shown])
    powers = (growth.exponent(series, figure) for figure in FIGURES)
    rows.append(["all grows with", *(NOTHING if one is None else f"n^{one:.2f}" for one in powers)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(value: float) -> str:
    """Return a figure with three digits; nothing for one that was too small to be measured."""
    if value <= 0:
        return NOTHING
    return f"{value:.2f}" if value < 10 else three_figures(value)  # noqa: PLR2004 - one digit
