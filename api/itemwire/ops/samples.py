"""The figures of one node at one moment, and those of several added up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of the engine's answers since the sample before; None where it gave none."""

    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The figures of a node, or of all nodes, at a Unix time; rates are per second."""

    at: float
    connections: int
    handshakes_per_second: float
    deliveries_per_second: float
    publishes_per_second: float
    refusals_per_second: dict[str, float]
    closes_per_second: dict[str, float]
    engine_latency_ms: Latency
    loop_lag_ms: float
    memory_bytes: int
    cpu_percent: float
    outbox_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSample(Sample):
    """The figures of a node, and the node they are of."""

    node: str


NOTHING: Final = Sample(
    at=0,
    connections=0,
    handshakes_per_second=0,
    deliveries_per_second=0,
    publishes_per_second=0,
    refusals_per_second={},
    closes_per_second={},
    engine_latency_ms=Latency(p50=None, p99=None),
    loop_lag_ms=0,
    memory_bytes=0,
    cpu_percent=0,
    outbox_bytes=0,
)


def of_node(node: str, sample: Sample) -> NodeSample:
    """Return the figures of a node with its name."""
    return NodeSample(node=node, **{one.name: getattr(sample, one.name) for one in fields(Sample)})


def total(samples: Sequence[Sample]) -> Sample:
    """Return the figures of several nodes added up; of latency and lag, those of the slowest."""
    if not samples:
        return NOTHING
    return Sample(
        at=max(one.at for one in samples),
        connections=sum(one.connections for one in samples),
        handshakes_per_second=_sum(one.handshakes_per_second for one in samples),
        deliveries_per_second=_sum(one.deliveries_per_second for one in samples),
        publishes_per_second=_sum(one.publishes_per_second for one in samples),
        refusals_per_second=_by_reason([one.refusals_per_second for one in samples]),
        closes_per_second=_by_reason([one.closes_per_second for one in samples]),
        engine_latency_ms=_slowest([one.engine_latency_ms for one in samples]),
        loop_lag_ms=max(one.loop_lag_ms for one in samples),
        memory_bytes=sum(one.memory_bytes for one in samples),
        cpu_percent=_sum(one.cpu_percent for one in samples),
        outbox_bytes=sum(one.outbox_bytes for one in samples),
    )


def condensed(samples: Sequence[Sample]) -> Sample:
    """Return one sample for several of one node: mean rates, the worst lag, the last counts."""
    count, whole, last = len(samples), total(samples), samples[-1]
    return replace(
        whole,
        at=last.at,
        connections=last.connections,
        handshakes_per_second=round(whole.handshakes_per_second / count, 3),
        deliveries_per_second=round(whole.deliveries_per_second / count, 3),
        publishes_per_second=round(whole.publishes_per_second / count, 3),
        refusals_per_second=_divided(whole.refusals_per_second, count),
        closes_per_second=_divided(whole.closes_per_second, count),
        memory_bytes=last.memory_bytes,
        cpu_percent=round(whole.cpu_percent / count, 1),
        outbox_bytes=max(one.outbox_bytes for one in samples),
    )


def _sum(values: Iterable[float]) -> float:
    return round(sum(values), 3)


def _divided(rates: dict[str, float], count: int) -> dict[str, float]:
    return {reason: round(rate / count, 3) for reason, rate in rates.items()}


def _by_reason(all_rates: Sequence[dict[str, float]]) -> dict[str, float]:
    reasons = sorted({reason for rates in all_rates for reason in rates})
    return {reason: _sum(rates.get(reason, 0) for rates in all_rates) for reason in reasons}


def _slowest(latencies: Sequence[Latency]) -> Latency:
    return Latency(
        p50=max((one.p50 for one in latencies if one.p50 is not None), default=None),
        p99=max((one.p99 for one in latencies if one.p99 is not None), default=None),
    )
