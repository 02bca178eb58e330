"""What this process has done, in plain numbers that metrics read when they are scraped."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from itemwire.close_reasons import CLOSE_REASONS

# Labels come from closed sets, whatever clients and applications send.
OTHER: Final = "other"
GONE: Final = "gone"  # the client closed or was lost, which the code tells apart

# RFC 6455 section 7.4.1 and the IANA registry; 1005 and 1006 are reported but never sent.
CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1005, 1016)})  # others count as 0

SECONDS: Final = (
    *(0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

OPERATIONS: Final = ("subscribe", "publish", "read", "erase", "post", "tell", "put", "take")
"""The operations of an engine that have an answer."""


def known_reason(reason: str) -> str:
    """Return a reason of the registry as it is, and `other` for an application's own."""
    return reason if reason in CLOSE_REASONS else OTHER


class MetricHistogram:
    """Counts values by upper bound, as a Prometheus histogram does."""

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
        """Return how many values were counted."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """Return each bound, and infinity, with the number of values up to it."""
        return list(zip((*self._bounds, float("inf")), accumulate(self._counts), strict=True))


@dataclass(slots=True)
class ChannelCounters:
    """What happened to a node's connections and channels."""

    opened: Counter[str] = field(default_factory=Counter)  # by subprotocol, as `open`
    open: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[str, int]] = field(default_factory=Counter)  # by reason and code
    subscriptions: int = 0  # at present
    delivered: int = 0  # a message counts once for each connection it is sent to
    replayed: int = 0
    dropped: int = 0  # of clients that have caught up or ended since
    refreshes: Counter[str] = field(default_factory=Counter)  # accepted or refused
    kept_handshake_bytes: int = 0  # at present, to ask dependencies again
    notices_dropped: int = 0  # of other nodes: unreadable, or with no room for all of it
    fan_out: MetricHistogram = field(default_factory=MetricHistogram)  # seconds per flush
    loop_lag: MetricHistogram = field(default_factory=MetricHistogram)  # seconds, once per tick


@dataclass(slots=True)
class OperationCounters:
    """The outcomes of one operation of the engine."""

    pending: int = 0
    errors: int = 0
    seconds: MetricHistogram = field(default_factory=MetricHistogram)

    @property
    def done(self) -> int:
        """Return how many were answered without an error."""
        return self.seconds.count - self.errors


@dataclass(slots=True)
class HandshakeCounters:
    """The outcomes of handshakes; `seconds` is the time from request to answer."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    seconds: MetricHistogram = field(default_factory=MetricHistogram)


@dataclass(frozen=True, slots=True)
class Counters:
    """All counters of one application."""

    channels: ChannelCounters = field(default_factory=ChannelCounters)
    handshakes: HandshakeCounters = field(default_factory=HandshakeCounters)
    engine: dict[str, OperationCounters] = field(
        default_factory=lambda: {operation: OperationCounters() for operation in OPERATIONS}
    )
