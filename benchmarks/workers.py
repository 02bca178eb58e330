"""Several workers without a broker, beside Redis: rates, and what an operation costs in all.

    python -m benchmarks.workers

`itemwire serve` with one and with two workers, on memory and on Redis, in turn. The processor time
is that of everything that serves: workers, supervisor, the engine process or Redis. The load
generator has the same cores, so the costs tell more than the rates. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import click

from benchmarks.engine_path import BOUNDS, measure
from benchmarks.tokens import tokens_for
from itemwire.bench.echo import echo
from itemwire.bench.errors import BenchError
from itemwire.bench.fanout import Closed, audience
from itemwire.bench.loop import new_event_loop
from itemwire.bench.results import Result
from itemwire.bench.target import BenchTarget, target_of
from itemwire.bench.work import Load
from itemwire.engines import open_engine
from itemwire.engines.base import Sink
from itemwire_auth.tokens.minting import new_secret
from tests.engine_process import running_engine
from tests.redis_server import running_redis

NO_LIMITS: Final = {
    f"ITEMWIRE_{name}": "0"
    for name in (
        "PUBLISH_RATE",
        "BYTES_RATE",
        "REQUEST_RATE",
        "DELIVERY_RATE",
        "DELIVERY_BYTES_RATE",
    )
} | {"ITEMWIRE_LOG_LEVEL": "warning"}  # nobody reads the log
SERVERS: Final = [("memory", 1), ("memory", 2), ("redis", 1), ("redis", 2)]
TICKS: Final = os.sysconf("SC_CLK_TCK")

Figures = dict[str, float]
Work = Callable[[float], Coroutine[Any, Any, Figures]]
Measure = Callable[[BenchTarget, float], Coroutine[Any, Any, Figures]]


def cpu_below(pid: int) -> tuple[float, float]:
    """Return the user and system seconds of all processes below one, without its own."""
    user = system = 0.0
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                below = cpu_below(int(child))
                user += int(fields[11]) / TICKS + below[0]
                system += int(fields[12]) / TICKS + below[1]
    return user, system


@contextlib.contextmanager
def served(engine: str, workers: int) -> Iterator[BenchTarget]:
    """Run a server as an operator does, with its broker if it needs one."""
    secret = new_secret()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        url = "memory://"
        if engine == "redis":
            url = stack.enter_context(running_redis(Path(folder))).url
        command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
        own = {"ITEMWIRE_SECRET": secret, "ITEMWIRE_ENGINE_URL": url}
        with subprocess.Popen(  # noqa: S603 - our own
            [*command, "--workers", str(workers)],
            env=os.environ | NO_LIMITS | own,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None  # noqa: S101 - it was asked for
            address = process.stderr.readline().split()[-1]
            try:
                yield target_of(address, tokens=tokens_for(secret))
            finally:
                process.terminate()


async def _fan_out(target: BenchTarget, seconds: float) -> Figures:
    async with audience(target, Load(1000, seconds=seconds)) as fan:
        return await _costed(Closed(8).run(fan), seconds)


async def _echo(target: BenchTarget, seconds: float) -> Figures:
    async def run() -> Result:
        return (await echo(target, Load(50, seconds=seconds)))[0]

    return await _costed(run(), seconds)


WORKS: Final[dict[str, Measure]] = {"1 item x 1000, 8 in flight": _fan_out, "echo x 50": _echo}


async def _costed(work: Awaitable[Result], seconds: float) -> Figures:
    """Return how many operations there were a second, and what each cost in processor time."""
    before = cpu_below(os.getpid())
    result = await work
    after = cpu_below(os.getpid())
    if result.problems:
        raise BenchError("; ".join(result.problems))
    count = result.figures["per_s"] * seconds
    user, system = [(now - then) * 1e6 / count for now, then in zip(after, before, strict=True)]
    return {"per_s": result.figures["per_s"], "user_us": user, "sys_us": system}


async def _engine(url: str, in_flight: int, seconds: float) -> Figures:
    engine = open_engine(url, BOUNDS)
    await engine.start(Sink())
    try:
        own, below = os.times(), cpu_below(os.getpid())
        one = await measure(engine, in_flight, seconds)
        now, after = os.times(), cpu_below(os.getpid())
    finally:
        await engine.stop()
    count = len(one.seconds)
    p50_ms, p99_ms = one.percentiles_ms()
    here = now.user - own.user + now.system - own.system
    there = sum(after) - sum(below)
    return {
        "per_s": one.per_s,
        "p50_us": p50_ms * 1000,
        "p99_us": p99_ms * 1000,
        "here_us": here * 1e6 / count,
        "there_us": there * 1e6 / count,
    }


def _engines(only: str) -> Iterator[tuple[str, Work]]:
    """Yield what the engines are measured by, while each is there."""
    for name, running in (("process", running_engine), ("redis", running_redis)):
        if only in name:
            with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
                for in_flight in (1, 32):
                    work = partial(_engine, server.url, in_flight)
                    yield f"{name}, {in_flight} in flight", work


def _servers(only: str) -> Iterator[tuple[str, Work]]:
    """Yield what the servers are measured by, while each is there."""
    for engine, workers in SERVERS:
        name = f"{engine} x {workers}"
        if only in name:
            with served(engine, workers) as target:
                for what, measured in WORKS.items():
                    yield f"{what}: {name}", partial(measured, target)


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=2.0, show_default=True)
@click.option("--only", default="", help="A part of the names of what is measured.")
def main(rounds: int, seconds: float, only: str) -> None:
    """Measure in turn, and print medians."""
    found: dict[str, list[Figures]] = defaultdict(list)
    for _ in range(rounds):
        for name, work in chain(_engines(only), _servers(only)):
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                try:
                    found[name].append(runner.run(work(seconds)))
                    click.echo(f"{name}: {found[name][-1]}", err=True)
                except BenchError as error:  # the machine was busy with something else
                    click.echo(f"{name}: {error}", err=True)
    for name, runs in sorted(found.items()):
        medians = {each: statistics.median(one[each] for one in runs) for each in runs[0]}
        told = "  ".join(f"{each} {value:,.1f}" for each, value in medians.items())
        click.echo(f"{name:36}  {told}")


if __name__ == "__main__":
    main()
