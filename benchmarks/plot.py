"""Draws picture and table of docs/performance.md: `python -m benchmarks.plot [FILE]`."""

from itertools import product
from pathlib import Path
from typing import Final

import click
import matplotlib as mpl
from matplotlib.patches import Patch

from benchmarks.comparison import DATA, PAGE, PICTURE, Comparison, load, with_table
from benchmarks.peers import BASELINE, PEERS

# The colours of Okabe and Ito, which colour-blind readers can distinguish.
COLOURS: Final = {
    "itemwire": "#d55e00",
    "websockets": "#56b4e9",
    "picows": "#009e73",
    "socketio": "#e69f00",
    "litestar": "#cc79a7",
    "socketify": "#0072b2",
}
GAP: Final = 1.5
WIDTH_INCHES: Final = 9.0
INCHES_A_BAR: Final = 0.17
INCHES_A_WORK: Final = 0.35


@click.command()
@click.argument("results", type=click.Path(exists=True, path_type=Path), default=DATA)
def main(results: Path) -> None:
    """Update docs/performance.md, its data and its picture from a file of `compare --out`."""
    renew_docs(load(results))


def renew_docs(comparison: Comparison) -> None:
    """Write the data, the picture, and the table between the page's marks."""
    comparison.save(DATA)
    draw(comparison, PICTURE)
    PAGE.write_text(with_table(PAGE.read_text(), comparison))


def draw(comparison: Comparison, path: Path) -> None:
    """Draw the ratio of each peer to the tutorial as bars, on a log scale."""
    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "itemwire", "font.size": 9}
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only after the backend is chosen

    peers = [peer for peer in PEERS if peer != BASELINE and _took_part(comparison, peer)]
    works = [one for one in comparison.works() if _is_compared(comparison, one[0])]
    height = 1.2 + len(works) * (len(peers) * INCHES_A_BAR + INCHES_A_WORK)
    figure, axes = plt.subplots(figsize=(WIDTH_INCHES, height), layout="constrained")
    rows = len(peers) + GAP
    for (number, (name, _)), (column, peer) in product(enumerate(works), enumerate(peers)):
        ratio = comparison.ratio(name, peer)
        if ratio is not None:
            row = number * rows + column
            axes.barh(row, ratio - 1, left=1, height=0.85, color=COLOURS[peer])
            axes.annotate(f" {ratio:.3g}", (max(ratio, 1), row), va="center", fontsize=7)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g} x")
    middle = (len(peers) - 1) / 2
    titles = [f"{work.title}\n({work.unit})" for _, work in works]
    axes.set_yticks([number * rows + middle for number in range(len(works))], titles)
    axes.set_ylim(len(works) * rows - GAP, -1)
    axes.margins(x=0.1)
    axes.axvline(1, color="#333333", linewidth=0.8)
    axes.set_xlabel("times better than the FastAPI tutorial's server (log scale)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    patches = [Patch(color=COLOURS[peer], label=PEERS[peer].title) for peer in peers]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, facecolor="white", metadata={"Date": None})
    plt.close(figure)


def _is_compared(comparison: Comparison, work: str) -> bool:
    """Return whether another server than the tutorial's was measured at a work that it can do."""
    return any(comparison.ratio(work, peer) is not None for peer in PEERS if peer != BASELINE)


def _took_part(comparison: Comparison, peer: str) -> bool:
    return any(peer in cells for cells in comparison.cells.values())


if __name__ == "__main__":
    main()
