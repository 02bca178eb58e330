"""Draws picture and tables of docs/growth.md: `python -m benchmarks.growth_picture`."""

import dataclasses
import json
from pathlib import Path
from typing import Final

import click
import matplotlib as mpl

from benchmarks.growth_report import (
    DATA,
    FIGURES,
    LEAST,
    PAGE,
    PICTURE,
    TITLES,
    Growth,
    load,
    with_figures,
)

# The colours of Okabe and Ito, which colour-blind readers can distinguish.
COLOURS: Final = {"sockets": "#0072b2", "items": "#d55e00"}
SIZE_INCHES: Final = (9.0, 3.2)


@click.command()
@click.argument("results", type=click.Path(exists=True, path_type=Path), default=DATA)
def main(results: Path) -> None:
    """Update docs/growth.md, its data and its picture from a file of `growth --out`."""
    renew_docs(load(results))


def renew_docs(growth: Growth, data: Path = DATA) -> None:
    """Write the data, the picture, and the tables between the page's marks."""
    data.write_text(json.dumps(dataclasses.asdict(growth), indent=1) + "\n")
    draw(growth, PICTURE)
    PAGE.write_text(with_figures(PAGE.read_text(), growth))


def draw(growth: Growth, path: Path) -> None:
    """Draw each figure over the number of sockets or items: a flat line grows in proportion."""
    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "itemwire", "font.size": 9}
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only after the backend is chosen

    figure, panels = plt.subplots(1, len(FIGURES), figsize=SIZE_INCHES, layout="constrained")
    for axes, (name, title) in zip(panels, FIGURES.items(), strict=True):
        for series, label in TITLES.items():
            line = [point for point in growth.line(series, name) if point[0] >= LEAST]
            counts, values = [count for count, _ in line], [value for _, value in line]
            axes.plot(counts, values, marker="o", color=COLOURS[series], label=label)
        axes.set_title(title, fontsize=9)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, facecolor="white", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
