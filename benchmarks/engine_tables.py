"""The results of the engines and of the peers over Redis, as Markdown."""

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.comparison import BLOCK, DOCS, NOTHING, P99, Cell, Comparison, three_figures
from benchmarks.contenders import BASELINE, CONTENDERS, MEMORY, REDIS
from benchmarks.trial import (
    ADDED,
    ALONE,
    EIGHT_IN_FLIGHT,
    MANY,
    ONE_IN_FLIGHT,
    PACE,
    PACED,
    TRIPS,
    WINDOWS,
    work_of,
)
from itemwire.bench.results import GENERATOR_LIMIT

PAGE: Final = DOCS / "engines.md"
PICTURE: Final = DOCS / "engines.svg"
DATA: Final = DOCS / "engines.json"

RATE: Final = "per_s"
P50: Final = "p50_ms"
ADDITION: Final = "added_ms"
LOSSES: Final = ("missing", "repeated")

TIMES_FASTER: Final = 5  # than broadcaster, at least
PUBLISHED: Final = 20_000  # a second, at least
ADDED_MS: Final = 1  # at most


def as_markdown(comparison: Comparison) -> str:
    """Return tables for one node, for two, for the engines alone, then the aims and problems."""
    parts = [
        *(_table(_served(comparison, nodes)) for nodes in (1, 2)),
        _table(_alone(comparison)),
        _list(aims(comparison)),
        _list(_troubles(comparison)),
        ", ".join(f"{name} {value}" for name, value in comparison.conditions.items()),
    ]
    return "\n\n".join(part for part in parts if part)


def with_figures(page: str, comparison: Comparison) -> str:
    """Return a page with the tables between its marks replaced."""
    return BLOCK.sub(lambda marks: marks[1] + as_markdown(comparison) + marks[2], page)


def aims(comparison: Comparison) -> Iterator[str]:
    """Yield the aims for the Redis engine, and whether each was reached."""
    fastest = work_of(EIGHT_IN_FLIGHT, 1)
    ours, theirs = (median(comparison, fastest, name, RATE) for name in (REDIS, BASELINE))
    if ours and theirs:
        times = ours / theirs
        yield (
            f"One node on Redis delivers {times:.1f} times as much as broadcaster "
            f"(at least {TIMES_FASTER}: {_verdict(times >= TIMES_FASTER)})."
        )
    published = median(comparison, work_of(ALONE, MANY), REDIS, RATE)
    if published:
        yield (
            f"The engine on Redis stores {three_figures(published)} messages a second with {MANY} "
            f"in flight (at least {PUBLISHED:,}: {_verdict(published >= PUBLISHED)})."
        )
    redis, noise = (median(comparison, ADDED, name, ADDITION) for name in (REDIS, MEMORY))
    if redis is not None and noise is not None:
        added = redis - noise
        yield (
            f"Redis adds {added:.2f} ms to the median of one node, beyond the {noise:.2f} ms of "
            f"memory beside itself (at most {ADDED_MS}: {_verdict(added <= ADDED_MS)})."
        )


def median(comparison: Comparison, work: str, name: str, figure: str) -> float | None:
    """Return the median of a contender's figure, None if there is none."""
    return _cell(comparison, work, name).median(figure)


def in_ms(ms: float) -> str:
    """Return milliseconds with at most three significant figures: more would be noise."""
    return f"{ms:.2f}" if ms < 1 else f"{ms:,.1f}" if ms < 100 else f"{ms:,.0f}"  # noqa: PLR2004


def took_part(comparison: Comparison, nodes: int) -> list[str]:
    """Return the contenders that were measured with a number of nodes."""
    cells = comparison.cells.get(work_of(ONE_IN_FLIGHT, nodes), {})
    return [name for name in CONTENDERS if name in cells]


def _served(comparison: Comparison, nodes: int) -> Iterator[list[str]]:
    where = "one node" if nodes == 1 else "two nodes, half of the subscribers at each"
    head = [
        where,
        "deliveries/s, 8 in flight",
        f"x {BASELINE}",
        "1 in flight: p50, p99 ms",
        f"{PACE:g} messages/s: p50, p99 ms",
        "lost, twice",
    ]
    of_one = ["ms more than memory", f"round trips/s, {MANY} sockets"]
    yield [*head, *of_one] if nodes == 1 else head
    fastest = work_of(EIGHT_IN_FLIGHT, nodes)
    baseline = median(comparison, fastest, BASELINE, RATE)
    for name in took_part(comparison, nodes):
        rate = median(comparison, fastest, name, RATE)
        row = [
            CONTENDERS[name].title,
            _rate(comparison, fastest, name),
            f"{rate / baseline:.2f}" if rate and baseline else NOTHING,
            _latency(comparison, work_of(ONE_IN_FLIGHT, nodes), name),
            _latency(comparison, work_of(PACED, nodes), name),
            _lost(comparison, nodes, name),
        ]
        added = median(comparison, ADDED, name, ADDITION)
        of_one = [NOTHING if added is None else f"{added:.2f}", _rate(comparison, TRIPS, name)]
        yield [*row, *of_one] if nodes == 1 else row


def _alone(comparison: Comparison) -> Iterator[list[str]]:
    yield [
        "engine without a server",
        f"stored a second, {MANY} in flight",
        f"{MANY} in flight: p50, p99 ms",
        "1 in flight: p50, p99 ms",
    ]
    for name in comparison.cells.get(work_of(ALONE, 1), {}):
        yield [
            CONTENDERS[name].title,
            _rate(comparison, work_of(ALONE, MANY), name),
            _latency(comparison, work_of(ALONE, MANY), name),
            _latency(comparison, work_of(ALONE, 1), name),
        ]


def _troubles(comparison: Comparison) -> Iterator[str]:
    """Yield the problems of all figures, and the contenders without any."""
    for work, cells in comparison.cells.items():
        for name, cell in cells.items():
            for problem in cell.problems:
                if problem != GENERATOR_LIMIT:
                    yield f"{CONTENDERS[name].title} ({work}): {problem}"
    for name, why in comparison.absent.items():
        yield f"{CONTENDERS[name].title} is absent: {why}"


def _cell(comparison: Comparison, work: str, name: str) -> Cell:
    return comparison.cells.get(work, {}).get(name, Cell())


def _rate(comparison: Comparison, work: str, name: str) -> str:
    at_least = "≥ " if GENERATOR_LIMIT in _cell(comparison, work, name).problems else ""
    return at_least + three_figures(median(comparison, work, name, RATE))


def _latency(comparison: Comparison, work: str, name: str) -> str:
    p50, p99 = (median(comparison, work, name, figure) for figure in (P50, P99))
    return NOTHING if p50 is None or p99 is None else f"{in_ms(p50)}, {in_ms(p99)}"


def _lost(comparison: Comparison, nodes: int, name: str) -> str:
    runs = [run for way in WINDOWS for run in _cell(comparison, work_of(way, nodes), name).runs]
    return ", ".join(f"{sum(run[figure] for run in runs):.0f}" for figure in LOSSES)


def _verdict(is_reached: bool) -> str:
    return "reached" if is_reached else "missed"


def _table(rows: Iterator[list[str]]) -> str:
    head, *others = rows
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *others]) if others else ""


def _list(lines: Iterator[str] | Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
