"""Runs one attack in rounds and measures what it costs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from itemwire.bench.histogram import LatencyHistogram
from tests.siege.attack import Order, Outcome, Row
from tests.siege.attacking import Attacker, AttackerLost
from tests.siege.figures import descriptors, peak_bytes, reset_peak, resident_bytes
from tests.siege.neighbour import Neighbour, neighbour
from tests.siege.server import Besieged


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a siege lasts, and how strictly it is judged."""

    rounds: int = 3
    seconds: float = 1.0  # of a round, where an attack does not end by itself
    calm_seconds: float = 0.8
    cpu_margin: float = 1.0  # by which the CPU bound is multiplied
    growth_mib: float = 0.0  # more: a short round may not reach what a later one does
    has_neighbour: bool = True  # its delays say nothing on a machine that does other things

    def rounds_of(self, row: Row) -> int:
        """Return how often an attack is run."""
        most = row.most_rounds if self.has_neighbour else row.short_rounds
        return min(self.rounds, row.most_rounds, most)


@dataclass(slots=True)
class Report:
    """What an attack cost."""

    row: Row
    peak_bytes: int = 0  # over what there was before
    growth_bytes: list[int] = field(default_factory=list)  # by round
    descriptors_left: int = 0
    cpu_ratio: float | None = None
    calm: LatencyHistogram = field(default_factory=LatencyHistogram)
    delays: list[LatencyHistogram] = field(default_factory=list)  # of the neighbour, by round
    log_bytes: int = 0
    accepted: int = 0
    faults: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def beside(self) -> LatencyHistogram:
        """Return the neighbour's delays in the median round: one stall may be the machine's."""
        ordered = sorted(self.delays, key=lambda delays: delays.quantile(0.99))
        return ordered[len(ordered) // 2] if ordered else LatencyHistogram()

    def add(self, outcome: Outcome) -> None:
        """Take what the attacker saw in a round; the costliest and the latest figures stay."""
        self.faults += [fault for fault in outcome.faults if fault not in self.faults]
        self.left_out = outcome.left_out
        self.notes |= outcome.notes
        self.accepted += outcome.accepted
        if outcome.cpu_ratio is not None:
            self.cpu_ratio = max(self.cpu_ratio or 0, outcome.cpu_ratio)


async def besiege(server: Besieged, attacker: Attacker, row: Row, plan: Plan) -> Report:
    """Run all rounds of an attack, with a neighbour beside it if there is one."""
    report = Report(row)
    try:
        await attacker.obey(Order("prepare", row.name, is_neighbour_judged=plan.has_neighbour))
        async with AsyncExitStack() as stack:
            pair = None
            if plan.has_neighbour:
                pair = await stack.enter_async_context(neighbour(server.url))
                report.calm = await pair.talk_for(plan.calm_seconds)
            await _run_rounds(server, attacker, pair, plan, report)
        await attacker.obey(Order("leave", row.name))
    except AttackerLost:
        report.faults.append("the attacker's process ended, or got no answer")
    except FileNotFoundError:  # in /proc
        report.faults.append("the server's process ended")
    return report


async def _run_rounds(
    server: Besieged, attacker: Attacker, pair: Neighbour | None, plan: Plan, report: Report
) -> None:
    expected = descriptors(server.pid)
    await server.until_quiet(expected)
    reset_peak(server.pid)
    first = before = resident_bytes(server.pid)
    logged = server.log_bytes
    order = Order("run", report.row.name, plan.seconds)
    for _ in range(plan.rounds_of(report.row)):
        attack = asyncio.create_task(attacker.obey(order))
        if pair is not None:
            report.delays.append(await pair.talk(attack.done))
        report.add(await attack)
        report.descriptors_left = await server.until_quiet(expected)
        after = resident_bytes(server.pid)
        report.growth_bytes.append(after - before)
        before = after
    report.peak_bytes = peak_bytes(server.pid) - first
    report.log_bytes = server.log_bytes - logged
    if pair is not None and (ended := pair.pair.ended()):
        report.faults.append(f"the neighbour was cut: {', '.join(ended)}")
