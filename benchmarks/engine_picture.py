"""Draws the picture and tables of docs/engines.md: `python -m benchmarks.engine_picture`."""

from pathlib import Path
from typing import Final

import click
import matplotlib as mpl
from matplotlib.axes import Axes

from benchmarks.comparison import P99, Comparison, load, three_figures
from benchmarks.contenders import CONTENDERS
from benchmarks.engine_tables import (
    DATA,
    P50,
    PAGE,
    PICTURE,
    RATE,
    in_ms,
    median,
    took_part,
    with_figures,
)
from benchmarks.trial import EIGHT_IN_FLIGHT, PACE, PACED, work_of

# The colours of Okabe and Ito, which colour-blind readers can distinguish.
COLOURS: Final = {1: "#0072b2", 2: "#e69f00"}
LABELS: Final = {1: "one node", 2: "two nodes"}
OFFSETS: Final = {1: -0.2, 2: 0.2}
WIDTH_INCHES: Final = 9.0
INCHES_A_ROW: Final = 0.45


@click.command()
@click.argument("results", type=click.Path(exists=True, path_type=Path), default=DATA)
def main(results: Path) -> None:
    """Update docs/engines.md, its data and its picture from a file of `engines --out`."""
    renew_docs(load(results))


def renew_docs(comparison: Comparison) -> None:
    """Write the data, the picture, and the tables between the page's marks."""
    comparison.save(DATA)
    draw(comparison, PICTURE)
    PAGE.write_text(with_figures(PAGE.read_text(), comparison))


def draw(comparison: Comparison, path: Path) -> None:
    """Draw the delivery rate and latency of each contender, on log scales."""
    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "itemwire", "font.size": 9}
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only after the backend is chosen

    names = took_part(comparison, 1)
    figure, (fast, late) = plt.subplots(
        1,
        2,
        sharey=True,
        figsize=(WIDTH_INCHES, 1.3 + len(names) * INCHES_A_ROW),
        layout="constrained",
    )
    for nodes in LABELS:
        _draw_rates(fast, comparison, nodes, names)
        _draw_latencies(late, comparison, nodes, names)
    fast.set_yticks(range(len(names)), [CONTENDERS[name].title for name in names])
    fast.invert_yaxis()
    fast.set_xlabel("deliveries/s, 8 messages in flight\n(log scale)")
    late.set_xlabel(f"ms from publish to delivery at {PACE:g} messages/s\np50 to p99 (log scale)")
    for axes in (fast, late):
        axes.set_xscale("log")
        axes.margins(x=0.2)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    figure.legend(*fast.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(path, facecolor="white", metadata={"Date": None})
    plt.close(figure)


def _draw_rates(axes: Axes, comparison: Comparison, nodes: int, names: list[str]) -> None:
    work, label = work_of(EIGHT_IN_FLIGHT, nodes), LABELS[nodes]
    for row, name in enumerate(names):
        rate = median(comparison, work, name, RATE)
        if rate is not None:
            place = row + OFFSETS[nodes]
            axes.barh(place, rate, height=0.38, color=COLOURS[nodes], label=label)
            axes.annotate(f" {three_figures(rate)}", (rate, place), va="center", fontsize=7)
            label = ""


def _draw_latencies(axes: Axes, comparison: Comparison, nodes: int, names: list[str]) -> None:
    work, colour = work_of(PACED, nodes), COLOURS[nodes]
    for row, name in enumerate(names):
        p50, p99 = (median(comparison, work, name, figure) for figure in (P50, P99))
        if p50 is not None and p99 is not None:
            place = row + OFFSETS[nodes]
            axes.plot([p50, p99], [place, place], color=colour, linewidth=3)
            axes.plot([p50], [place], "o", color=colour, markersize=6)
            axes.annotate(f"  {in_ms(p50)}, {in_ms(p99)}", (p99, place), va="center", fontsize=7)


if __name__ == "__main__":
    main()
