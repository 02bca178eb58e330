"""Judges what an attack cost, and prints it in a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from itemwire.bench.histogram import LatencyHistogram
from tests.siege.besieging import Plan, Report

MIB: Final = 1 << 20

# A caller that is let in is logged with three lines of at most 170 bytes: who it is, its
# connection, and how that ended. Each is limited to 50 a second (`observability.logs`), as all are.
ACCEPTED_KIB: Final = 0.5
HEADING: Final = (
    "attack             needs     peak  rounds 2, 3   fds   CPU    neighbour alone  under attack"
    "    log  verdict\n"
    "                             MiB   MiB each      left  times  p50/p99 ms       p50/p99 ms  "
    "    KiB\n"
    "default bound                +20   +3            0     5      -                max(10, 2 x)"
    "    64"
)


def broken(report: Report, plan: Plan) -> list[str]:
    """List the bounds that an attack broke, a line each."""
    return [*_broken_figures(report, plan), *report.faults]


def _broken_figures(report: Report, plan: Plan) -> Iterator[str]:
    bounds = report.row.bounds
    if report.peak_bytes > bounds.peak_mib * MIB:
        yield f"the peak was {report.peak_bytes / MIB:.0f} MiB more, over {bounds.peak_mib:g}"
    most_growth = bounds.growth_mib + plan.growth_mib
    for number, growth in enumerate(report.growth_bytes[1:], 2):
        if growth > most_growth * MIB:
            yield f"round {number} added {growth / MIB:.1f} MiB, over {most_growth:g}"
    if report.descriptors_left:
        yield f"{report.descriptors_left} descriptors did not come back"
    if (report.cpu_ratio or 0) > bounds.cpu_ratio * plan.cpu_margin:
        yield f"it cost {report.cpu_ratio:.1f} times the CPU, over {bounds.cpu_ratio:g}"
    most_kib = bounds.log_kib + report.accepted * ACCEPTED_KIB
    if report.log_bytes > most_kib * 1024:
        yield f"{report.log_bytes / 1024:.0f} KiB were logged, over {most_kib:.0f}"
    most = max(bounds.delay_ms, 2 * _p99_ms(report.calm))
    if plan.has_neighbour and bounds.is_neighbour_judged and _p99_ms(report.beside) > most:
        yield f"a neighbour's p99 was {_p99_ms(report.beside):.1f} ms, over {most:.1f}"


def line_of(report: Report, plan: Plan) -> str:
    """Write the figures of an attack beside each other, as `HEADING` names them."""
    growth = " ".join(f"{one / MIB:+.1f}" for one in report.growth_bytes[1:]) or "-"
    cpu = "-" if report.cpu_ratio is None else f"{report.cpu_ratio:.1f}"
    verdict = "OVER" if broken(report, plan) else "ok"
    return (
        f"{report.row.name:18} {report.row.needs:8} {report.peak_bytes / MIB:+6.1f}"
        f"  {growth:12}  {report.descriptors_left:<4}  {cpu:5}  {_delays(report.calm):15}"
        f"  {_delays(report.beside):15} {report.log_bytes / 1024:4.0f}  {verdict}"
    )


def notes_of(report: Report) -> str:
    """Write the figures that are not judged, and what could not be tried."""
    figures = [f"{name} {value:,.4g}" for name, value in report.notes.items()]
    return ", ".join([*figures, *(f"NOT TRIED: {one}" for one in report.left_out)])


def _delays(histogram: LatencyHistogram) -> str:
    return f"{histogram.quantile(0.5) / 1e6:.2f}/{_p99_ms(histogram):.2f}"


def _p99_ms(histogram: LatencyHistogram) -> float:
    return histogram.quantile(0.99) / 1e6
