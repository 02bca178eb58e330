"""The workers of one server, telling each other their metrics: one scrape has all."""

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

ANSWER_SECONDS: Final = 0.5  # Prometheus waits for ten; a worker that stands still never says

WORKER: Final = "worker"
UP: Final = "itemwire_worker_up"


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric and its samples, as one worker tells another."""

    name: str
    documentation: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


_decoder: Final = msgspec.msgpack.Decoder(list[Family])


class WorkerMetrics:
    """One worker among its siblings: it answers them, and asks them.

    Each listens on a socket in a folder of their supervisor's, which nobody else may enter.
    """

    def __init__(self, folder: Path, number: int, count: int, registry: CollectorRegistry) -> None:
        self._folder = folder
        self._number = number
        self._count = count
        self._registry = registry
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer from now on; where that cannot be, the others tell that this one is not up."""
        path = self._path_of(self._number)
        try:
            path.unlink(missing_ok=True)  # of whoever had this number before
            self._server = await asyncio.start_unix_server(self._answer, path)
        except OSError as error:
            logger.warning("metrics_unshared worker=%d problem=%s", self._number, error)

    def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
            self._path_of(self._number).unlink(missing_ok=True)

    async def gather(self) -> CollectorRegistry:
        """Give the metrics of every worker that answers soon, and which did."""
        numbers = range(self._count)
        told = await asyncio.gather(*(self._ask(number) for number in numbers))
        registry = CollectorRegistry()
        registry.register(_Gathered(dict(zip(numbers, told, strict=True))))
        return registry

    async def _ask(self, number: int) -> list[Family] | None:
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
        return self._folder / f"{number}.sock"


def families_of(registry: CollectorRegistry) -> list[Family]:
    """Read every metric of one process."""
    return [
        Family(
            one.name,
            one.documentation,
            one.type,
            [(sample.name, dict(sample.labels), sample.value) for sample in one.samples],
        )
        for one in registry.collect()
    ]


class _Gathered(Collector):
    """The metrics of several workers, each series with the number of its worker."""

    def __init__(self, told: Mapping[int, list[Family] | None]) -> None:
        self._told = told

    def describe(self) -> Iterable[Metric]:
        """Name none ahead: this is read once."""
        return []

    @override
    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(UP, "1 for a worker that told its metrics.", labels=[WORKER])
        merged: dict[str, Metric] = {}
        for number, families in self._told.items():
            up.add_metric([str(number)], 0 if families is None else 1)
            for family in families or ():
                metric = merged.get(family.name)
                if metric is None:
                    metric = Metric(family.name, family.documentation, family.type)
                    merged[family.name] = metric
                for name, labels, value in family.samples:
                    metric.add_sample(name, {WORKER: str(number), **labels}, value)
        return [up, *merged.values()]
