"""Connecting: handshakes a second, and the memory of an idle socket."""

import asyncio
from collections.abc import Callable
from typing import Final

from itemwire.bench.client import Listener
from itemwire.bench.crowd import Crowd, crowd
from itemwire.bench.memory import memory_of
from itemwire.bench.processor import figures_per
from itemwire.bench.results import Result, busy_note
from itemwire.bench.target import BenchTarget
from itemwire.bench.work import Load, Progress, Stopwatch, no_garbage_collection, silent

SETTLE_SECONDS: Final = 2.0


async def connect(target: BenchTarget, load: Load, progress: Progress = silent) -> list[Result]:
    """Measure handshakes, from before the TCP connect to the end of the server's hello."""
    results: list[Result] = []
    for turn in range(load.repeat):
        progress(f"connect: {turn + 1} of {load.repeat}")
        with no_garbage_collection():
            clock = Stopwatch(load.pid)
            async with crowd(target, load.connections, _silent_on(target, load)) as gathered:
                busy, used = clock.busy(), clock.server.stop()
                await asyncio.sleep(BETWEEN_RUNS)  # a server may accept and then close
                results.append(_connected(gathered, load, busy, used))
        await asyncio.sleep(BETWEEN_RUNS)
    return results


async def idle(
    target: BenchTarget,
    load: Load,
    pid: int,
    progress: Progress = silent,
    settle: float = SETTLE_SECONDS,
) -> Result:
    """Measure the memory (PSS) that open sockets take in a process and its children.

    The server must have done nothing else before, because a process keeps memory that it has used.
    So this is measured once, whatever `repeat` says. One socket is opened and closed first: what
    it loads or makes for all that follow is no socket's own.
    """
    async with crowd(target, 1, _silent_on(target, load)) as first:
        first.demand_all()
    before = memory_of(pid)
    progress(f"idle: {load.connections} connections")
    async with crowd(target, load.connections, _silent_on(target, load)) as gathered:
        gathered.demand_all()
        await asyncio.sleep(settle)
        gathered.demand_all()
        after = memory_of(pid)
    figures = {
        "bytes_per_connection": (after - before) / load.connections,
        "before": before,
        "after": after,
    }
    return Result("idle", {"connections": load.connections, "items": load.items}, figures)


BETWEEN_RUNS: Final = 0.3


def _silent_on(target: BenchTarget, load: Load) -> Callable[[int], Listener]:
    return lambda number: Listener(number % load.items, target.dialect)


def _connected(
    gathered: Crowd[Listener], load: Load, busy: float, used: tuple[float, float]
) -> Result:
    failed = gathered.failures + gathered.ended()
    figures = {
        "per_s": len(gathered.listeners) / gathered.seconds,
        **gathered.handshakes.figures_ms(),
        "connected": len(gathered.listeners),
        "seconds": gathered.seconds,
        "failed": failed.total(),
        "generator_busy": busy,
        **figures_per(len(gathered.listeners), used),
    }
    problems = tuple(f"{count} connections {reason}" for reason, count in failed.items())
    setting: dict[str, float] = {"connections": load.connections}
    return Result("connect", setting, figures, problems, busy_note(busy))
