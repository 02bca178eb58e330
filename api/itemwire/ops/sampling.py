"""Takes the figures of this process once a second, from counters that are there anyway."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from itemwire.channels.connection_log import ConnectionLog
from itemwire.counters import SECONDS, Counters
from itemwire.ops.process import memory_bytes
from itemwire.ops.samples import Latency, Sample

BOUNDS = (*SECONDS, float("inf"))


@dataclass(frozen=True, slots=True)
class _Totals:
    """What was counted from the start to a moment."""

    moment: float
    cpu: float
    handshakes: int
    delivered: int
    published: int
    refused: Counter[str]
    closed: Counter[str]
    engine: Sequence[int]  # answers by duration, each bound with those below it


class Sampler:
    """Subtracts the counters of a moment from those of the moment before.

    No connection is looked at but those that are behind, so a sample costs the same with one socket
    and with many.
    """

    def __init__(
        self,
        counters: Counters,
        connection_log: ConnectionLog,
        *,
        unix_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._counters = counters
        self._log = connection_log
        self._unix_clock = unix_clock
        self._clock = clock
        self._before = self._totals()

    def take(self, lag: float = 0.0) -> Sample:
        """Return the figures since the sample before; `lag` is that of the loop, in seconds."""
        before, now = self._before, self._totals()
        self._before = now
        seconds = max(now.moment - before.moment, 0.001)

        def rate(count: float) -> float:
            return round(count / seconds, 3)

        return Sample(
            at=round(self._unix_clock(), 3),
            connections=sum(self._counters.channels.open.values()),
            handshakes_per_second=rate(now.handshakes - before.handshakes),
            deliveries_per_second=rate(now.delivered - before.delivered),
            publishes_per_second=rate(now.published - before.published),
            refusals_per_second=_rates(now.refused, before.refused, rate),
            closes_per_second=_rates(now.closed, before.closed, rate),
            engine_latency_ms=_latency(before.engine, now.engine),
            loop_lag_ms=round(lag * 1000, 2),
            memory_bytes=memory_bytes(),
            cpu_percent=round((now.cpu - before.cpu) / seconds * 100, 1),
            outbox_bytes=self._log.behind[1],
        )

    def _totals(self) -> _Totals:
        counters = self._counters
        refused = Counter(counters.handshakes.refused)
        closed: Counter[str] = Counter()
        for (reason, _code), count in counters.channels.ended.items():
            closed[reason] += count
        return _Totals(
            self._clock(),
            time.process_time(),
            counters.handshakes.accepted + refused.total(),
            counters.channels.delivered,
            counters.engine["publish"].done,
            refused,
            closed,
            _engine_answers(one.seconds.cumulative() for one in counters.engine.values()),
        )


def _rates(
    now: Mapping[str, int], before: Mapping[str, int], rate: Callable[[float], float]
) -> dict[str, float]:
    """Return the rate of each reason that has occurred since."""
    return {
        reason: rate(count - before.get(reason, 0))
        for reason, count in now.items()
        if count > before.get(reason, 0)
    }


def _engine_answers(histograms: Iterable[list[tuple[float, int]]]) -> list[int]:
    """Return the answers of all operations together, each bound with those below it."""
    return [
        sum(counts) for counts in zip(*([n for _, n in one] for one in histograms), strict=True)
    ]


def _latency(before: Sequence[int], now: Sequence[int]) -> Latency:
    answers = [later - earlier for earlier, later in zip(before, now, strict=True)]
    if not answers or not answers[-1]:
        return Latency(p50=None, p99=None)
    return Latency(p50=_quantile(answers, 0.5), p99=_quantile(answers, 0.99))


def _quantile(answers: Sequence[int], share: float) -> float:
    """Return the milliseconds within which this share was answered, between two bounds."""
    wanted = answers[-1] * share
    bounds, counts = (0.0, *BOUNDS), (0, *answers)
    for (low, high), (below, within) in zip(pairwise(bounds), pairwise(counts), strict=True):
        if within >= wanted and within > below:
            if high == float("inf"):
                break
            return round((low + (high - low) * (wanted - below) / (within - below)) * 1000, 3)
    return SECONDS[-1] * 1000
