"""Shares metrics between the workers of one server: one scrape returns all of them."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

logger = logging.getLogger("itemwire.server")

ANSWER_SECONDS: Final = 0.5  # for a worker to answer; Prometheus waits for ten

WORKER: Final = "worker"
UP: Final = "itemwire_worker_up"


class MetricFamily(msgspec.Struct, frozen=True, array_like=True):
    """A metric with its samples, as one worker sends it to another."""

    name: str
    documentation: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


_decoder: Final = msgspec.msgpack.Decoder(list[MetricFamily])


class WorkerMetrics:
    """Sends one worker's metrics to the others, and collects theirs.

    Each worker listens on a Unix socket in a folder that only this user may enter. `place` tells
    the sockets of several `Itemwire` in one application from each other.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        count: int,
        registry: CollectorRegistry,
        *,
        place: int = 0,
    ) -> None:
        self._folder = folder
        self._place = place
        self._number = number
        self._count = count
        self._registry = registry
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Start to answer; if that fails, the others report this worker as not up."""
        path = self._path_of(self._number)
        try:
            path.unlink(missing_ok=True)  # left by a dead worker in the same slot
            self._server = await asyncio.start_unix_server(self._answer, path)
        except OSError as error:
            logger.warning("metrics_unshared worker=%d problem=%s", self._number, error)

    def stop(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()
            self._path_of(self._number).unlink(missing_ok=True)

    async def gather(self) -> CollectorRegistry:
        """Return the metrics of every worker that answers in time, and which workers did."""
        numbers = range(self._count)
        answers = await asyncio.gather(*(self._ask(number) for number in numbers))
        registry = CollectorRegistry()
        registry.register(_WorkersCollector(dict(zip(numbers, answers, strict=True))))
        return registry

    async def _ask(self, number: int) -> list[MetricFamily] | None:
        """Return the metrics of one worker, None if it does not answer in time."""
        if number == self._number:
            return families_of(self._registry)
        with contextlib.suppress(OSError, TimeoutError, msgspec.MsgspecError):
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path_of(number))
                with contextlib.closing(writer):
                    return _decoder.decode(await reader.read())
        return None

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            writer.write(msgspec.msgpack.encode(families_of(self._registry)))
            await writer.drain()

    def _path_of(self, number: int) -> Path:
        return self._folder / f"{number}-{self._place}.sock"


def families_of(registry: CollectorRegistry) -> list[MetricFamily]:
    """Return every metric of one process."""
    return [
        MetricFamily(
            one.name,
            one.documentation,
            one.type,
            [(sample.name, dict(sample.labels), sample.value) for sample in one.samples],
        )
        for one in registry.collect()
    ]


class _WorkersCollector(Collector):
    """The metrics of several workers; each series has the label `worker`."""

    def __init__(self, answers: Mapping[int, list[MetricFamily] | None]) -> None:
        self._answers = answers

    def describe(self) -> Iterable[Metric]:
        """Return no names: this collector is registered for a single scrape."""
        return []

    @override
    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(UP, "1 for a worker that answered with metrics.", labels=[WORKER])
        merged: dict[str, Metric] = {}
        for number, families in self._answers.items():
            up.add_metric([str(number)], 0 if families is None else 1)
            for family in families or ():
                metric = merged.get(family.name)
                if metric is None:
                    metric = Metric(family.name, family.documentation, family.type)
                    merged[family.name] = metric
                for name, labels, value in family.samples:
                    metric.add_sample(name, {WORKER: str(number), **labels}, value)
        return [up, *merged.values()]
