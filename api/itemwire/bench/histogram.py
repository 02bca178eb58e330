"""Latencies in bounded memory."""

from typing import Final

PRECISION_BITS: Final = 7  # 128 buckets per power of two: the error is at most 0.8 %
MANTISSA_BITS: Final = PRECISION_BITS + 1
HIGHEST: Final = 1 << 42  # more than an hour in nanoseconds


class LatencyHistogram:
    """Counts durations in nanoseconds, in buckets whose width grows with the value."""

    __slots__ = ("_buckets", "highest", "total")

    def __init__(self) -> None:
        self._buckets = [0] * (_bucket(HIGHEST) + 1)
        self.total = 0
        self.highest = 0

    def record(self, nanoseconds: int) -> None:
        """Count one value; anything over an hour counts as an hour."""
        self.total += 1
        if nanoseconds > self.highest:  # noqa: PLR1730 - a call of max() costs more
            self.highest = nanoseconds
        # `_bucket`, inlined: this runs once for each answer of an echo.
        shift = nanoseconds.bit_length() - MANTISSA_BITS
        try:
            if shift > 0:
                self._buckets[(shift << PRECISION_BITS) + (nanoseconds >> shift)] += 1
            else:
                self._buckets[nanoseconds] += 1
        except IndexError:
            self._buckets[-1] += 1

    def quantile(self, fraction: float) -> float:
        """Return the value that this fraction of all values does not exceed, 0 without values."""
        wanted = fraction * self.total
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                return float(min(_upper_end(bucket), self.highest))
        return 0.0

    def figures_ms(self) -> dict[str, float]:
        """Return the 50th, 95th and 99th percentile and the maximum, in milliseconds."""
        quantiles = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
        figures = {name: self.quantile(fraction) / 1e6 for name, fraction in quantiles.items()}
        return figures | {"max_ms": self.highest / 1e6}


def _bucket(value: int) -> int:
    shift = max(value.bit_length() - MANTISSA_BITS, 0)
    return (shift << PRECISION_BITS) + (value >> shift)


def _upper_end(bucket: int) -> int:
    shift = max((bucket >> PRECISION_BITS) - 1, 0)
    return ((bucket - (shift << PRECISION_BITS) + 1) << shift) - 1
