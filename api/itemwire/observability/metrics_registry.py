"""The metrics of one application as a registry of the Prometheus client library."""

from collections.abc import Callable, Iterable
from typing import Final, cast

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from itemwire.counters import Histogram
from itemwire.observability.metrics import (
    METRICS,
    PREFIX,
    Kind,
    Labels,
    MetricRow,
    MetricSources,
    Value,
    codec_labels,
)


def registry_of(sources: MetricSources) -> CollectorRegistry:
    """Return the registry that one application's `/metrics` page is written from.

    Raises `ValueError` where two codecs have the same metric label.
    """
    codec_labels()  # raises now, where every later page would be invalid
    registry = CollectorRegistry()
    registry.register(_TableCollector(sources))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


class _TableCollector(Collector):
    """The table of metrics as a collector of the client library."""

    def __init__(self, sources: MetricSources) -> None:
        self._parts = sources

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values: the library then checks that no name is taken."""
        return [_family(row) for row in METRICS]

    @override
    def collect(self) -> Iterable[Metric]:
        for row in METRICS:
            family = _family(row)
            for labels, value in row.read(self._parts):
                _add(family, labels, value)
            yield family


def _family(row: MetricRow) -> Metric:
    return FAMILIES[row.kind](PREFIX + row.name, row.meaning, labels=row.labels)


FAMILIES: Final[dict[Kind, Callable[..., Metric]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def _add(family: Metric, labels: Labels, value: Value) -> None:
    if isinstance(family, HistogramMetricFamily) and isinstance(value, Histogram):
        buckets = [(str(bound).replace("inf", "+Inf"), count) for bound, count in value.up_to()]
        family.add_metric(labels, buckets, value.total)
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily):
        family.add_metric(labels, cast("float", value))
