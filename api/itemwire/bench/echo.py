"""Echo: each connection is alone on its item, and sends when its last message came back."""

import asyncio
import dataclasses
import time

from itemwire.bench.crowd import Crowd, crowd
from itemwire.bench.errors import BenchError
from itemwire.bench.frames import Stationery, mark_of
from itemwire.bench.histogram import LatencyHistogram
from itemwire.bench.listeners import Echoer
from itemwire.bench.processor import figures_per
from itemwire.bench.results import BUSY_IN_A_LOOP, Result, busy_note
from itemwire.bench.target import BenchTarget
from itemwire.bench.work import (
    BETWEEN_WINDOWS,
    Load,
    Progress,
    Stopwatch,
    no_garbage_collection,
    silent,
)

WARM_UP_SECONDS = 0.3


async def echo(target: BenchTarget, load: Load, progress: Progress = silent) -> list[Result]:
    """Measure round trips per second and their latency."""

    def alone(number: int) -> Echoer:
        return Echoer(number, target.dialect)

    results: list[Result] = []
    async with crowd(target, load.connections, alone) as gathered:
        gathered.demand_all()
        with no_garbage_collection():
            warm = await _window(gathered, load, 0, min(WARM_UP_SECONDS, load.seconds))
            if warm.problems:
                raise BenchError(f"messages do not come back: {'; '.join(warm.problems)}")
            for turn in range(load.repeat):
                progress(f"echo: {turn + 1} of {load.repeat}")
                results.append(await _window(gathered, load, turn + 1, load.seconds))
    return results


async def _window(gathered: Crowd[Echoer], load: Load, number: int, seconds: float) -> Result:
    stationery = Stationery(gathered.target.dialect.message, mark_of(number), load.size)
    latency, clock = LatencyHistogram(), Stopwatch(load.pid)
    for listener in gathered.listeners:
        listener.begin(stationery, latency)
    await asyncio.sleep(seconds)
    for listener in gathered.listeners:
        listener.going = False
    end, busy = time.perf_counter_ns(), clock.busy()
    trips = sum(listener.count for listener in gathered.listeners)
    used = figures_per(trips, clock.server.stop())
    await _drain(gathered, load.stall_seconds)
    result = _result(gathered, load, latency, trips=trips, seconds=clock.seconds(end), busy=busy)
    return dataclasses.replace(result, figures=result.figures | used)


async def _drain(gathered: Crowd[Echoer], stall_seconds: float) -> None:
    """Wait for the last answers, and then for duplicates that may follow."""
    deadline = time.perf_counter() + stall_seconds
    while time.perf_counter() < deadline and not gathered.ended():
        await asyncio.sleep(BETWEEN_WINDOWS)
        if all(listener.count >= listener.sent for listener in gathered.listeners):
            return


def _result(
    gathered: Crowd[Echoer],
    load: Load,
    latency: LatencyHistogram,
    *,
    trips: int,
    seconds: float,
    busy: float,
) -> Result:
    gaps = [listener.count - listener.sent for listener in gathered.listeners]
    missing = -sum(gap for gap in gaps if gap < 0)
    repeated = sum(gap for gap in gaps if gap > 0)
    figures = {
        "per_s": trips / seconds,
        **latency.figures_ms(),
        "round_trips": trips,
        "seconds": seconds,
        "missing": missing,
        "repeated": repeated,
        "generator_busy": busy,
    }
    problems = (
        *(f"{count} connections {reason}" for reason, count in gathered.ended().items()),
        *([f"{missing} answers are missing"] if missing else []),
        *([f"{repeated} answers came twice"] if repeated else []),
    )
    return Result(
        "echo",
        {"connections": load.connections},
        figures,
        problems,
        busy_note(busy, BUSY_IN_A_LOOP),
    )
