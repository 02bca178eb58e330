"""Latencies in bounded memory."""

from typing import Final

PRECISION_BITS: Final = 7  # 128 buckets for each power of two: a value is off by 0.8 % at most
MANTISSA_BITS: Final = PRECISION_BITS + 1
HIGHEST: Final = 1 << 42  # more than an hour in nanoseconds


class Histogram:
    """Counts nanoseconds in buckets that grow with the value."""

    __slots__ = ("_buckets", "highest", "total")

    def __init__(self) -> None:
        self._buckets = [0] * (_bucket(HIGHEST) + 1)
        self.total = 0
        self.highest = 0

    def record(self, nanoseconds: int) -> None:
        """Count one value; what is over an hour counts as an hour."""
        self.total += 1
        if nanoseconds > self.highest:  # noqa: PLR1730 - a call of max() costs more
            self.highest = nanoseconds
        # As in _bucket, written out: this runs once for each answer of an echo.
        shift = nanoseconds.bit_length() - MANTISSA_BITS
        try:
            if shift > 0:
                self._buckets[(shift << PRECISION_BITS) + (nanoseconds >> shift)] += 1
            else:
                self._buckets[nanoseconds] += 1
        except IndexError:
            self._buckets[-1] += 1

    def quantile(self, fraction: float) -> float:
        """Give the value that this fraction of all is not above, 0 if there is none."""
        wanted = fraction * self.total
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                return float(min(_upper_end(bucket), self.highest))
        return 0.0

    def figures_ms(self) -> dict[str, float]:
        """Give the usual quantiles in milliseconds."""
        quantiles = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
        figures = {name: self.quantile(fraction) / 1e6 for name, fraction in quantiles.items()}
        return figures | {"max_ms": self.highest / 1e6}


def _bucket(value: int) -> int:
    shift = max(value.bit_length() - MANTISSA_BITS, 0)
    return (shift << PRECISION_BITS) + (value >> shift)


def _upper_end(bucket: int) -> int:
    shift = max((bucket >> PRECISION_BITS) - 1, 0)
    return ((bucket - (shift << PRECISION_BITS) + 1) << shift) - 1
