"""The measures that a command line asks for, taken one after the other."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from itemwire.bench.ceiling import ceiling
from itemwire.bench.connecting import connect, idle
from itemwire.bench.echo import echo
from itemwire.bench.errors import BenchError
from itemwire.bench.fanout import fanout
from itemwire.bench.results import Result, median_of
from itemwire.bench.target import BenchTarget
from itemwire.bench.work import Load, Progress


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; `connections`, if given, replaces the default of each measure."""

    measures: Sequence[str]
    connections: int | None = None
    items: int = 1
    in_flight: Sequence[int] = (1, 8)
    rate: float | None = None
    seconds: float = 3.0
    size: int = 128
    repeat: int = 1
    pid: int | None = None

    def load(self, connections: int, items: int = 1) -> Load:
        """Return the load of a measure, with its default number of connections."""
        connections = self.connections or connections
        return Load(connections, items, self.size, self.seconds, self.repeat, pid=self.pid)


async def carry_out(plan: Plan, target: BenchTarget, progress: Progress) -> list[Result]:
    """Take each measure of a plan in turn; return medians if it is repeated."""
    results: list[Result] = []
    for name in plan.measures:
        results += await MEASURES[name](plan, target, progress)
    return results


async def _connect(plan: Plan, target: BenchTarget, progress: Progress) -> list[Result]:
    return [median_of(await connect(target, plan.load(2000), progress))]


async def _fanout(plan: Plan, target: BenchTarget, progress: Progress) -> list[Result]:
    in_flight = () if plan.rate is not None else plan.in_flight
    load = plan.load(1000, plan.items)
    repeats = await fanout(target, load, in_flight=in_flight, rate=plan.rate, progress=progress)
    return [median_of(results) for results in repeats]


async def _ceiling(plan: Plan, target: BenchTarget, progress: Progress) -> list[Result]:
    return [median_of(await ceiling(target, plan.load(1000, plan.items), progress))]


async def _echo(plan: Plan, target: BenchTarget, progress: Progress) -> list[Result]:
    return [median_of(await echo(target, plan.load(50), progress))]


async def _idle(plan: Plan, target: BenchTarget, progress: Progress) -> list[Result]:
    if plan.pid is None:
        raise BenchError("idle needs --pid: the id of the server's process on this machine")
    return [await idle(target, plan.load(5000, plan.items), plan.pid, progress)]


Measure = Callable[[Plan, BenchTarget, Progress], Awaitable[list[Result]]]

MEASURES: Final[dict[str, Measure]] = {
    "idle": _idle,  # first: memory is measured on a server that has done nothing else
    "connect": _connect,
    "fanout": _fanout,
    "echo": _echo,
    "ceiling": _ceiling,
}
