"""Measures what a socket and a message cost as there are more: `python -m benchmarks.growth`.

Each point has a fresh server on one core, and the load generator on another. The figures are those
of one socket, one handshake and one delivery: where these stay, the whole grows in proportion.
"""

import asyncio
import dataclasses
import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from benchmarks.compare import conditions
from benchmarks.growth_report import DATA, FIGURES, Growth, as_markdown
from benchmarks.peers import PEERS
from benchmarks.peers.serving import HOST
from benchmarks.running import Absent, pinned, running
from benchmarks.tokens import tokens_for
from benchmarks.writing import check_docs_can_be_renewed
from itemwire.bench.connecting import connect, idle
from itemwire.bench.errors import BenchError
from itemwire.bench.fanout import fanout
from itemwire.bench.loop import new_event_loop
from itemwire.bench.target import BenchTarget, target_of
from itemwire.bench.work import Load
from itemwire_auth.tokens.minting import new_secret

PEER: Final = "itemwire"
IN_FLIGHT: Final = 8
SPARE_FILES: Final = 2048  # beside the sockets: what a server keeps for other files
QUICK: Final = (20, 40)


@dataclasses.dataclass(frozen=True, slots=True)
class Series:
    """What there is more and more of."""

    counts: Sequence[int]
    items: Callable[[int], int]

    def load(self, count: int, seconds: float) -> Load:
        """Return the load with so many sockets."""
        return Load(count, self.items(count), seconds=seconds)


SERIES: Final = {
    "sockets": Series((100, 500, 1000, 2000, 5000, 10_000, 15_000), lambda _count: 1),
    "items": Series((1, 10, 100, 1000, 5000, 10_000, 15_000, 20_000), lambda count: count),
}


@click.command()
@click.option("--seconds", default=1.0, show_default=True, help="Seconds per window.")
@click.option("--within", default=480.0, show_default=True, help="Begin no point after this time.")
@click.option("--quick", is_flag=True, help="A tiny load, only to check that it runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all figures to a JSON file.")
@click.option("--write-docs", is_flag=True, help="Update docs/growth.*; needs matplotlib.")
def main(*, seconds: float, within: float, quick: bool, out: Path | None, write_docs: bool) -> None:
    """Measure how Itemwire grows on this machine."""
    if write_docs:
        check_docs_can_be_renewed(is_quick=quick)
    series = SERIES
    if quick:
        series = {name: dataclasses.replace(one, counts=QUICK) for name, one in SERIES.items()}
    growth = measure(series, seconds, within)
    click.echo(as_markdown(growth))
    if out is not None:
        out.write_text(json.dumps(dataclasses.asdict(growth), indent=1) + "\n")
    if write_docs:
        from benchmarks.growth_picture import renew_docs  # noqa: PLC0415 - needs matplotlib

        renew_docs(growth, DATA)


def measure(series: dict[str, Series], seconds: float, within: float) -> Growth:
    """Measure each point, the small ones first; those that do not fit in the time are named."""
    end, secret = time.monotonic() + within, new_secret()
    most = max(count for one in series.values() for count in one.counts) + SPARE_FILES
    with pinned() as core:
        growth = Growth(conditions(core, 1))
        _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, allowed), allowed))
        points = [(count, name) for name, one in series.items() for count in one.counts]
        for count, name in sorted(points):
            if time.monotonic() >= end:
                growth.problems.append(f"no time left for {count} {name}")
                continue
            click.echo(f"{count} {name}", err=True)
            try:
                with running(PEER, secret, core) as server:
                    target = target_of(
                        f"http://{HOST}:{server.port}",
                        path=PEERS[PEER].path,
                        tokens=tokens_for(secret),
                    )
                    load = dataclasses.replace(series[name].load(count, seconds), pid=server.pid)
                    with asyncio.Runner(loop_factory=new_event_loop) as runner:
                        point = runner.run(_point(target, load, server.pid))
            except (Absent, BenchError) as error:
                growth.problems.append(f"{count} {name}: {error}")
            else:
                growth.points.setdefault(name, {})[count] = point
    return growth


async def _point(target: BenchTarget, load: Load, pid: int) -> dict[str, float]:
    """Measure one server: the memory first, for a process keeps what it has used."""
    memory = await idle(target, load, pid)
    (handshakes,) = await connect(target, load)
    ((deliveries,),) = await fanout(target, load, in_flight=[IN_FLIGHT])
    if deliveries.problems:
        raise BenchError("; ".join(deliveries.problems))
    found = {
        "bytes": memory.figures["bytes_per_connection"],
        "handshake_us": _microseconds(handshakes.figures),
        "delivery_us": _microseconds(deliveries.figures),
    }
    return {name: round(found[name], 3) for name in FIGURES}


def _microseconds(figures: dict[str, float]) -> float:
    """Return the server's processor time for one operation."""
    return figures.get("user_us", 0.0) + figures.get("sys_us", 0.0)


if __name__ == "__main__":
    main()
