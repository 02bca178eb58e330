"""Results as text: a table with a line per measure, and remarks below it."""

from collections.abc import Sequence
from typing import Final

from itemwire.bench.results import Result

HEAD: Final = ("measure", "of", "a second", "p50 ms", "p95 ms", "p99 ms", "missing", "twice")
LEFT: Final = 2  # columns that are aligned left; the others hold figures


def described(setting: dict[str, float]) -> str:
    """Return the setting of a measure in words."""
    parts: list[str] = []
    connections, items = int(setting["connections"]), int(setting.get("items", 0))
    if items:
        each = f"{round(connections / items, 1):g}"
        parts.append(f"{items} item{'s' if items > 1 else ''} x {each}")
    else:
        parts.append(f"{connections} connections")
    if "in_flight" in setting:
        parts.append(f"{int(setting['in_flight'])} in flight")
    if "rate" in setting:
        parts.append(f"{setting['rate']:g} messages/s")
    return ", ".join(parts)


def table(results: Sequence[Result]) -> str:
    """Return the results as a table."""
    rows = [HEAD, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(_line(row, widths) for row in rows)


def remarks(results: Sequence[Result]) -> list[str]:
    """Return the problems and notes of all results, each with its measure."""
    return [
        f"{result.measure}, {described(result.setting)}: {text}"
        for result in results
        for text in (*result.problems, *result.notes)
    ]


def as_json(result: Result) -> dict[str, object]:
    """Return a result as an object for JSON."""
    return {
        "measure": result.measure,
        "setting": result.setting,
        "figures": {name: round(value, 4) for name, value in result.figures.items()},
        "problems": list(result.problems),
        "notes": list(result.notes),
    }


def _row(result: Result) -> tuple[str, ...]:
    figures = result.figures
    if result.measure == "idle":
        memory = f"{figures['bytes_per_connection'] / 1024:,.1f} KiB each"
        return (result.measure, described(result.setting), memory, *[""] * (len(HEAD) - 3))
    latencies = (f"{figures[name]:,.2f}" for name in ("p50_ms", "p95_ms", "p99_ms"))
    losses = (f"{figures[name]:.0f}" if name in figures else "" for name in ("missing", "repeated"))
    of = described(result.setting)
    if result.measure == "ceiling":
        of += f", {figures['rate']:,.0f} messages/s"
    return (result.measure, of, f"{figures['per_s']:,.0f}", *latencies, *losses)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.ljust(width) if column < LEFT else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
