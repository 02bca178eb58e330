"""The ceiling: the highest rate of messages at which nobody waits long for any of them."""

from typing import Final

from itemwire.bench.errors import BenchError
from itemwire.bench.fanout import Fan, audience
from itemwire.bench.results import Result
from itemwire.bench.target import Target
from itemwire.bench.work import Load, Progress, silent

FIRST_RATE: Final = 25.0
LOWEST_RATE: Final = 1.0
REFINEMENTS: Final = 2  # each halves the step: 19 % is left of a doubling
PATIENCE_MS: Final = 30.0
KEPT_UP: Final = 0.95
BACKLOG_SECONDS: Final = 0.5
LEAST_BACKLOG: Final = 8
TRIES: Final = 2  # a machine that was busy with something else for a moment is no ceiling


async def ceiling(target: Target, load: Load, progress: Progress = silent) -> list[Result]:
    """Raise an open loop's rate until the server falls behind or the p99 passes 30 ms."""
    results = []
    async with audience(target, load) as fan:
        for turn in range(load.repeat):
            progress(f"ceiling: {turn + 1} of {load.repeat}")
            results.append(await _climb(fan, progress))
    return results


async def _climb(fan: Fan, progress: Progress) -> Result:
    best, rate = None, FIRST_RATE
    while result := await _sustained(fan, rate, progress):
        best, rate = result, rate * 2
    while best is None and rate > LOWEST_RATE:
        rate /= 2
        best = await _sustained(fan, rate, progress)
    if best is None:
        raise BenchError(
            f"not even {LOWEST_RATE:g} message a second reaches everyone in {PATIENCE_MS:g} ms"
        )
    step = 2.0
    for _ in range(REFINEMENTS):
        step **= 0.5
        best = await _sustained(fan, best.setting["rate"] * step, progress) or best
    return Result(
        "ceiling",
        {name: value for name, value in best.setting.items() if name != "rate"},
        best.figures | {"rate": best.setting["rate"]},
        best.problems,
        best.notes,
    )


async def _sustained(fan: Fan, rate: float, progress: Progress) -> Result | None:
    """Give the result of a rate if the server kept up with it in one of two windows."""
    for _ in range(TRIES):
        result = await fan.open(rate, backlog=max(int(rate * BACKLOG_SECONDS), LEAST_BACKLOG))
        if fan.stalled:
            raise BenchError(f"at {rate:g} messages/s: {'; '.join(result.problems)}")
        figures = result.figures
        wanted = rate * fan.load.connections / fan.load.items
        kept_up = not result.problems and figures["per_s"] >= KEPT_UP * wanted
        good = kept_up and figures["p99_ms"] <= PATIENCE_MS
        progress(
            f"ceiling: {rate:,.0f} messages/s: {figures['per_s']:,.0f} deliveries/s, "
            f"p99 {figures['p99_ms']:.1f} ms{'' if good else ' - too much'}"
        )
        if good:
            return result
    return None
