"""The results of a comparison: saved as JSON, shown as text and as Markdown."""

import json
import re
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.peers import BASELINE, PEERS, VARIANTS
from benchmarks.works import WORKS, WORKS_OF_VARIANTS, Work
from itemwire.bench.results import GENERATOR_LIMIT, Result

DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = DOCS / "performance.md"
PICTURE: Final = DOCS / "performance.svg"
DATA: Final = DOCS / "performance.json"
BLOCK: Final = re.compile(r"(<!-- figures -->\n\n).*?(\n\n<!-- /figures -->)", re.DOTALL)

ALL: Final = PEERS | VARIANTS
OURS: Final = "itemwire"
P99: Final = "p99_ms"
USER: Final = "user_us"
SYSTEM: Final = "sys_us"
NOTHING: Final = "-"


@dataclass(slots=True)
class Cell:
    """All runs of one peer at one work."""

    runs: list[dict[str, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def median(self, figure: str) -> float | None:
        """Return the median of a figure over all runs, None if no run has it."""
        found = [run[figure] for run in self.runs if figure in run]
        return statistics.median(found) if found else None


@dataclass(slots=True)
class Comparison:
    """All cells, by work and then by peer, and the peers that were not available."""

    conditions: dict[str, str]
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def cell(self, work: str, peer: str) -> Cell:
        """Return the cell of a work and a peer, a new one if there is none."""
        return self.cells.setdefault(work, {}).setdefault(peer, Cell())

    def take(self, work: str, peer: str, result: Result) -> None:
        """Add the result of one run."""
        runs = self.cell(work, peer).runs
        runs.append({name: round(value, 4) for name, value in result.figures.items()})
        for text in (*result.problems, *result.notes):
            self.fail(work, peer, text)

    def fail(self, work: str, peer: str, why: str) -> None:
        """Add a problem of a run, or the reason why there is none."""
        problems = self.cell(work, peer).problems
        if why not in problems:
            problems.append(why)

    def works(self) -> Iterator[tuple[str, Work]]:
        """Return the works that were measured."""
        return ((name, WORKS[name]) for name in self.cells)

    def value(self, work: str, peer: str) -> float | None:
        """Return the figure by which a work is compared."""
        cell = self.cells[work].get(peer)
        return cell.median(WORKS[work].figure) if cell else None

    def ratio(self, work: str, peer: str) -> float | None:
        """Return how many times better a peer is than the tutorial; None without both figures."""
        value, baseline = self.value(work, peer), self.value(work, BASELINE)
        if not value or not baseline or min(value, baseline) <= 0:
            return None
        return baseline / value if WORKS[work].less_is_better else value / baseline

    def save(self, path: Path) -> None:
        """Save the comparison as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load(path: Path) -> Comparison:
    """Load a saved comparison."""
    document = json.loads(path.read_text())
    cells = {
        work: {peer: Cell(**cell) for peer, cell in peers.items()}
        for work, peers in document["cells"].items()
    }
    return Comparison(document["conditions"], cells, document["absent"])


def as_text(comparison: Comparison) -> str:
    """Return a block per work with a line per peer: figure, p99, ratio to the tutorial."""
    lines: list[str] = []
    for name, work in comparison.works():
        lines += ["", f"{work.title} ({work.unit})"]
        for peer, cell in comparison.cells[name].items():
            value, p99 = comparison.value(name, peer), cell.median(P99)
            late = f"p99 {p99:9,.2f} ms" if p99 is not None else " " * 16
            ratio = _times(comparison.ratio(name, peer))
            line = f"  {ALL[peer].title:33} {three_figures(value):>12}  {late}  {ratio:>8}"
            lines.append(f"{line}  {_processor_time(cell)}".rstrip())
            lines += [f"    {problem}" for problem in cell.problems]
    lines += [
        "",
        *(f"absent: {ALL[peer].title}: {why}" for peer, why in comparison.absent.items()),
        ", ".join(f"{name} {value}" for name, value in comparison.conditions.items()),
    ]
    return "\n".join(lines).lstrip("\n")


def as_markdown(comparison: Comparison) -> str:
    """Return a table with a row per work and a column per peer, with ratios to the tutorial.

    A second one has the other ways to run Itemwire, a row each, where they were measured.
    """
    peers = _measured(comparison, PEERS)
    head = ["work", "unit", *(PEERS[peer].title for peer in peers)]
    rows = [head, ["---", "---", *["---:"] * len(peers)]]
    for name, work in comparison.works():
        rows.append([work.title, work.unit, *(_entry(comparison, name, peer) for peer in peers)])
    conditions = ", ".join(f"{name} {value}" for name, value in comparison.conditions.items())
    tables = [_table(rows), *_table_of_variants(comparison)]
    return "\n\n".join([*tables, conditions])


def _measured(comparison: Comparison, peers: Iterable[str]) -> list[str]:
    return [peer for peer in peers if any(peer in row for row in comparison.cells.values())]


def _table_of_variants(comparison: Comparison) -> list[str]:
    """Return the table of the ways to run Itemwire; nothing if only one was measured."""
    variants = _measured(comparison, VARIANTS)
    works = [name for name in WORKS_OF_VARIANTS if name in comparison.cells]
    if not variants or not works:
        return []
    head = ["run as", *(f"{WORKS[name].title}, {WORKS[name].unit}" for name in works)]
    rows = [head, ["---", *["---:"] * len(works)]]
    for peer in (OURS, *variants):
        entries = (_entry(comparison, name, peer, has_ratio=False) for name in works)
        rows.append([ALL[peer].title, *entries])
    return [_table(rows)]


def _table(rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def with_table(page: str, comparison: Comparison) -> str:
    """Return a page with the table between its marks replaced."""
    return BLOCK.sub(lambda marks: marks[1] + as_markdown(comparison) + marks[2], page)


def _entry(comparison: Comparison, work: str, peer: str, *, has_ratio: bool = True) -> str:
    value = three_figures(comparison.value(work, peer))
    cell = comparison.cells[work].get(peer)
    if value == NOTHING or cell is None:
        return NOTHING
    p99 = cell.median(P99)
    at_least = "≥ " if GENERATOR_LIMIT in cell.problems else ""
    lines = (
        f"{at_least}{value}",
        _times(comparison.ratio(work, peer)) if has_ratio else "",
        f"p99 {p99:,.1f} ms" if p99 is not None else "",
        _processor_time(cell),
    )
    return "<br>".join(filter(None, lines))


def _processor_time(cell: Cell) -> str:
    """Return the server's processor time for one operation: in user mode, and in the kernel."""
    user, system = cell.median(USER), cell.median(SYSTEM)
    if user is None or system is None:
        return ""
    digits = 2 if user + system < 10 else 0 if user + system >= 100 else 1  # noqa: PLR2004 - three figures
    return f"{user:,.{digits}f} + {system:,.{digits}f} µs"


def three_figures(value: float | None) -> str:
    """Return a value with three significant figures: more would be noise."""
    if value is None:
        return NOTHING
    digits = len(str(abs(int(value))))
    return f"{round(value, min(3 - digits, 0)):,.0f}"


def _times(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.2f} x"
