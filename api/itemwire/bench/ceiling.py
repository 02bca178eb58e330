"""The ceiling: the highest message rate that all subscribers receive without delay."""

from typing import Final

from itemwire.bench.errors import BenchError
from itemwire.bench.fanout import Fan, audience
from itemwire.bench.results import Result
from itemwire.bench.target import BenchTarget
from itemwire.bench.work import Load, Progress, silent

FIRST_RATE: Final = 25.0
LOWEST_RATE: Final = 1.0
REFINEMENTS: Final = 2  # each takes the root of the step: after two, the rate is within 19 %
MAX_P99_MS: Final = 30.0
MIN_SHARE: Final = 0.95  # of the deliveries that the rate asks for
BACKLOG_SECONDS: Final = 0.5
LEAST_BACKLOG: Final = 8
TRIES: Final = 2  # the machine may have been busy with something else for a moment


async def ceiling(target: BenchTarget, load: Load, progress: Progress = silent) -> list[Result]:
    """Raise the rate of an open loop until the server falls behind or the p99 exceeds 30 ms."""
    results: list[Result] = []
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
            f"even {LOWEST_RATE:g} message a second does not reach everyone in {MAX_P99_MS:g} ms"
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
    """Return the result of a rate if the server kept up in one of two windows, else None."""
    for _ in range(TRIES):
        result = await fan.open(rate, backlog=max(int(rate * BACKLOG_SECONDS), LEAST_BACKLOG))
        if fan.stalled:
            raise BenchError(f"at {rate:g} messages/s: {'; '.join(result.problems)}")
        figures = result.figures
        wanted = rate * fan.load.connections / fan.load.items
        kept_up = not result.problems and figures["per_s"] >= MIN_SHARE * wanted
        good = kept_up and figures["p99_ms"] <= MAX_P99_MS
        progress(
            f"ceiling: {rate:,.0f} messages/s: {figures['per_s']:,.0f} deliveries/s, "
            f"p99 {figures['p99_ms']:.1f} ms{'' if good else ' - too much'}"
        )
        if good:
            return result
    return None
