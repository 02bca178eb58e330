"""The works: what each server is measured at, and which figure is compared."""

import dataclasses
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from benchmarks.peers import PEERS, VARIANTS
from benchmarks.tokens import TOKENS
from itemwire.bench.ceiling import ceiling
from itemwire.bench.connecting import connect, idle
from itemwire.bench.echo import echo
from itemwire.bench.fanout import fanout
from itemwire.bench.results import Result
from itemwire.bench.target import ENVELOPES, BenchTarget
from itemwire.bench.work import Load, Progress

QUICK_SHARE: Final = 50  # a quick run has 1/50 of the connections, at least 10
QUICK_LEAST: Final = 10
QUICK_SECONDS: Final = 0.3

ALL: Final = frozenset(PEERS | VARIANTS)
OURS: Final = frozenset({"itemwire", *VARIANTS})

Measure = Callable[[BenchTarget, Load, int, Progress], Coroutine[None, None, Result]]


@dataclass(frozen=True, slots=True)
class Work:
    """One row of the comparison."""

    title: str
    unit: str
    load: Load
    run: Measure
    figure: str = "per_s"
    less_is_better: bool = False
    subprotocol: str | None = None
    peers: frozenset[str] = ALL
    """Who can do it."""

    tokens: int = TOKENS
    """How many different ones the clients present: a server may remember what it has checked."""

    def scaled(self, *, seconds: float, quick: bool) -> "Work":
        """Return the work with another window length, and a tiny load if `quick`."""
        load = dataclasses.replace(self.load, seconds=QUICK_SECONDS if quick else seconds)
        if quick:
            connections = max(load.connections // QUICK_SHARE, QUICK_LEAST)
            items = min(load.items, connections // 2)
            load = dataclasses.replace(load, connections=connections, items=items)
        return dataclasses.replace(self, load=load)

    def of(self, pid: int) -> Load:
        """Return the load for a server's process, whose processor time is measured as well."""
        return dataclasses.replace(self.load, pid=pid)


def _closed(in_flight: int) -> Measure:
    async def run(target: BenchTarget, load: Load, _pid: int, progress: Progress) -> Result:
        ((result,),) = await fanout(target, load, in_flight=[in_flight], progress=progress)
        return result

    return run


async def _ceiling(target: BenchTarget, load: Load, _pid: int, progress: Progress) -> Result:
    return (await ceiling(target, load, progress))[0]


async def _echo(target: BenchTarget, load: Load, _pid: int, progress: Progress) -> Result:
    return (await echo(target, load, progress))[0]


async def _connect(target: BenchTarget, load: Load, _pid: int, progress: Progress) -> Result:
    return (await connect(target, load, progress))[0]


async def _idle(target: BenchTarget, load: Load, pid: int, progress: Progress) -> Result:
    return await idle(target, load, pid, progress)


DELIVERIES: Final = "deliveries/s"

WORKS: Final[dict[str, Work]] = {
    "ceiling": Work(
        "1 item x 1000, highest rate with p99 <= 30 ms", DELIVERIES, Load(1000), _ceiling
    ),
    "fanout-8": Work("1 item x 1000, 8 in flight", DELIVERIES, Load(1000), _closed(8)),
    "fanout-1": Work("1 item x 1000, 1 in flight", DELIVERIES, Load(1000), _closed(1)),
    "large": Work("1 item x 5000, 8 in flight", DELIVERIES, Load(5000), _closed(8)),
    "items": Work("1000 items x 5, 8 in flight", DELIVERIES, Load(5000, 1000), _closed(8)),
    "echo": Work("echo over 50 connections", "round trips/s", Load(50), _echo),
    "echo-json": Work(
        "echo in JSON envelopes, with replies",
        "round trips/s",
        Load(50),
        _echo,
        subprotocol=ENVELOPES,
        peers=OURS,
    ),
    "connect": Work("handshakes with a JWT check", "handshakes/s", Load(2000), _connect),
    "connect-first": Work(
        "handshakes, each with a token of its own",
        "handshakes/s",
        Load(2000),
        _connect,
        tokens=2000,
    ),
    "idle": Work(
        "memory of an idle connection (PSS)",
        "bytes",
        Load(5000, 1000),
        _idle,
        figure="bytes_per_connection",
        less_is_better=True,
    ),
}

WORKS_OF_VARIANTS: Final = ("fanout-8", "items", "echo", "echo-json", "connect", "idle")
"""What other ways to run Itemwire are measured at."""
