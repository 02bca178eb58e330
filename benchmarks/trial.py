"""One round of one contender: a new store, measured with one node and then with two."""

import asyncio
import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.comparison import Comparison
from benchmarks.contenders import CONTENDERS, MEMORY_URL, STORES
from benchmarks.engine_path import BOUNDS, measure
from benchmarks.peers.serving import HOST
from benchmarks.running import Absent, born_on, running
from benchmarks.tokens import tokens_for
from itemwire.bench.echo import echo
from itemwire.bench.errors import BenchError
from itemwire.bench.fanout import Closed, Open, audience
from itemwire.bench.loop import new_event_loop
from itemwire.bench.results import Result
from itemwire.bench.target import BenchTarget, target_of
from itemwire.bench.work import Load
from itemwire.engines import open_engine
from itemwire.engines.base import EngineError
from itemwire_auth.tokens.minting import new_secret

PACE: Final = 10.0  # messages a second
BESIDE_PACE: Final = 19.0  # to each of two nodes; not a divisor of the timers' 1000 ticks
BESIDE_WINDOWS: Final = 2
MANY: Final = 32  # publishes in flight
WARM_UP: Final = 10
STALL_SECONDS: Final = 8.0  # some contenders take seconds to deliver what is in flight

ONE_IN_FLIGHT: Final = "1 in flight"
PACED: Final = "paced"
EIGHT_IN_FLIGHT: Final = "8 in flight"
TRIPS: Final = "round trips"
ADDED: Final = "added"
ALONE: Final = "engine alone"

WINDOWS: Final[dict[str, Closed | Open]] = {
    ONE_IN_FLIGHT: Closed(1),
    PACED: Open(PACE),
    EIGHT_IN_FLIGHT: Closed(8),
}
"""The windows that are measured with each audience, one after the other."""

NO_PYTHON: Final = "needs an environment of its own: see --peers-python"


@dataclass(frozen=True, slots=True)
class Plan:
    """The load, the core of the servers, and the Python that runs the peers."""

    connections: int
    seconds: float
    core: int | None = None
    peers_python: str | None = None

    @property
    def load(self) -> Load:
        """The load of one window with all subscribers."""
        return Load(
            self.connections, seconds=self.seconds, warm_up=WARM_UP, stall_seconds=STALL_SECONDS
        )


def work_of(way: str, number: int) -> str:
    """Return the name of a work: a way to measure, with a number of nodes or messages."""
    return f"{way}, {number}"


class Trial:
    """Measures one contender once."""

    def __init__(self, name: str, plan: Plan, comparison: Comparison) -> None:
        """Raise `Absent` if there is no Python to run the contender with."""
        self._name = name
        self._contender = CONTENDERS[name]
        self._plan = plan
        self._comparison = comparison
        python = sys.executable if self._contender.is_ours else plan.peers_python
        if python is None:
            raise Absent(NO_PYTHON)
        self._python = python
        self._secret = new_secret()
        self._tokens = tokens_for(self._secret)

    def run(self) -> None:
        """Add the results to the comparison; raise `Absent` if a node does not start."""
        plan = self._plan
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            url = stack.enter_context(self._store(Path(folder)))
            if self._contender.is_ours:
                works = [work_of(ALONE, in_flight) for in_flight in (1, MANY)]
                self._take(works, _engine_alone(url, (1, MANY), plan.seconds))
            target = stack.enter_context(self._node(url))
            self._fan_out(target, 1)
            self._take([TRIPS], echo(target, Load(MANY, seconds=plan.seconds)))
            if self._contender.is_ours:
                with self._node(MEMORY_URL) as control:
                    self._take([ADDED], _beside(target, control, plan.load))
            if self._contender.is_shared:
                with self._node(url) as other:
                    self._fan_out(dataclasses.replace(target, more_ports=(other.port,)), 2)

    @contextlib.contextmanager
    def _store(self, folder: Path) -> Iterator[str]:
        with contextlib.ExitStack() as stack:
            try:
                with born_on(self._plan.core):
                    url = stack.enter_context(STORES[self._contender.store](folder))
            except (
                AssertionError,
                OSError,
            ) as error:  # what the tests' servers raise where the program is missing
                raise Absent(str(error)) from error
            yield url

    @contextlib.contextmanager
    def _node(self, url: str) -> Iterator[BenchTarget]:
        """Run one more node, on another port."""
        module, peer = self._contender.module, self._contender.peer
        with running(
            module, self._secret, self._plan.core, python=self._python, engine_url=url
        ) as server:
            yield target_of(
                f"http://{HOST}:{server.port}",
                path=peer.path,
                tokens=self._tokens,
                dialect=peer.dialect,
            )

    def _fan_out(self, target: BenchTarget, nodes: int) -> None:
        works = [work_of(way, nodes) for way in WINDOWS]
        self._take(works, _all_windows(target, self._plan.load))

    def _take(self, works: Sequence[str], measured: Coroutine[Any, Any, list[Result]]) -> None:
        """Add the results of all works that were completed."""
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                results = runner.run(measured)
        except (BenchError, EngineError, TimeoutError, ValueError) as error:
            self._comparison.fail(works[0], self._name, str(error) or "no answer in time")
            return
        for work, result in zip(works, results, strict=False):
            self._comparison.take(work, self._name, result)


async def _all_windows(target: BenchTarget, load: Load) -> list[Result]:
    results: list[Result] = []
    async with audience(target, load) as fan:
        for window in WINDOWS.values():
            results.append(await window.run(fan))
            if fan.stalled:
                break
    return results


async def _beside(target: BenchTarget, control: BenchTarget, load: Load) -> list[Result]:
    """Return a target's latency minus that of a control, measured on the same busy machine."""
    load = dataclasses.replace(load, seconds=BESIDE_WINDOWS * load.seconds)
    async with audience(target, load) as fan, audience(control, load) as other:

        async def in_between() -> Result:
            await asyncio.sleep(0.5 / BESIDE_PACE)
            return await other.open(BESIDE_PACE)

        one, two = await asyncio.gather(fan.open(BESIDE_PACE), in_between())
    added = {"added_ms": one.figures["p50_ms"] - two.figures["p50_ms"]}
    return [Result("fanout", one.setting, added, (*one.problems, *two.problems))]


async def _engine_alone(url: str, in_flight: Sequence[int], seconds: float) -> list[Result]:
    """Measure an engine in this process, without a server."""
    engine = open_engine(url, BOUNDS)
    await engine.start(lambda _channel, _publication: None)
    try:
        rounds = [await measure(engine, number, seconds) for number in in_flight]
    finally:
        await engine.stop()
    results = []
    for one, number in zip(rounds, in_flight, strict=True):
        p50_ms, p99_ms = one.percentiles_ms()
        figures = {"per_s": one.per_s, "p50_ms": p50_ms, "p99_ms": p99_ms}
        problems = (f"{one.refused} publishes were refused",) if one.refused else ()
        results.append(Result("publish", {"in_flight": number}, figures, problems))
    return results
