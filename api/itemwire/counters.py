"""What this process has done, in plain numbers, read when somebody asks."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from itemwire.close_reasons import CLOSE_REASONS

# What a number is told apart by comes from a closed set, whatever clients and applications say.
OTHER: Final = "other"
GONE: Final = "gone"  # it went, and was not sent away: the code says how

# RFC 6455 section 7.4.1, and what the registry adds; 1005 and 1006 are told and never sent.
CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1005, 1016)})  # any other is 0

SECONDS: Final = (
    *(0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

OPERATIONS: Final = ("subscribe", "publish", "read", "post", "put", "take")
"""What engines answer."""


def known_reason(reason: str) -> str:
    """Give a reason of the registry as it is; an application may make up any number of others."""
    return reason if reason in CLOSE_REASONS else OTHER


class MetricHistogram:
    """Counts values up to each of a few bounds."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Tell how many values there were."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """Tell for each bound, and for none, how many values were not above it."""
        return list(zip((*self._bounds, float("inf")), accumulate(self._counts), strict=True))


@dataclass(slots=True)
class ChannelCounters:
    """What a node's connections and channels have seen."""

    opened: Counter[str] = field(default_factory=Counter)  # by subprotocol, as `open`
    open: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[str, int]] = field(default_factory=Counter)  # by reason and code
    subscriptions: int = 0  # those there are
    delivered: int = 0  # a message counts once for each connection that it was sent to
    replayed: int = 0
    dropped: int = 0  # for those who are not behind any longer
    refreshes: Counter[str] = field(default_factory=Counter)  # accepted or refused
    fan_out: MetricHistogram = field(default_factory=MetricHistogram)  # seconds a flush
    loop_lag: MetricHistogram = field(default_factory=MetricHistogram)  # seconds, once a tick


@dataclass(slots=True)
class OperationCounters:
    """What came of one operation of the engine."""

    pending: int = 0
    errors: int = 0
    seconds: MetricHistogram = field(default_factory=MetricHistogram)

    @property
    def done(self) -> int:
        """Tell how many were answered, and not by an error."""
        return self.seconds.count - self.errors


@dataclass(slots=True)
class HandshakeCounters:
    """How handshakes went, from their request to the answer."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    seconds: MetricHistogram = field(default_factory=MetricHistogram)


@dataclass(frozen=True, slots=True)
class Counters:
    """Every tally of one application."""

    channels: ChannelCounters = field(default_factory=ChannelCounters)
    handshakes: HandshakeCounters = field(default_factory=HandshakeCounters)
    engine: dict[str, OperationCounters] = field(
        default_factory=lambda: {operation: OperationCounters() for operation in OPERATIONS}
    )
