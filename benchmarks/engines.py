"""Itemwire on each engine, beside its peers over Redis: `python -m benchmarks.engines`.

First one node, then two, each on a port of its own with half of the subscribers; what is published
goes to the first. All nodes and the store share one core, the load generator has another. Round
after round, each contender gets a new store and new nodes; the medians are what is shown.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from benchmarks.compare import MOST_SOCKETS, chosen, conditions
from benchmarks.comparison import Comparison
from benchmarks.contenders import CONTENDERS
from benchmarks.engine_tables import as_markdown
from benchmarks.running import Absent, pinned
from benchmarks.trial import Plan, Trial
from itemwire.bench.crowd import allow_files

QUICK_CONNECTIONS: Final = 10
QUICK_SECONDS: Final = 0.2
MOST_SECONDS: Final = 480.0  # in all: no round is begun that would end later


@click.command()
@click.option(
    "--peers-python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The Python that has benchmarks/peers/over_redis.txt.",
)
@click.option("--only", default=",".join(CONTENDERS), show_default=True, help="Whom to compare.")
@click.option("--connections", default=1000, show_default=True, help="Subscribers in all.")
@click.option("--seconds", default=1.0, show_default=True, help="Length of a window.")
@click.option(
    "--repeat", type=click.IntRange(1), default=3, show_default=True, help="Rounds at most."
)
@click.option("--quick", is_flag=True, help="Small and short: only to see that it runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all runs there as JSON.")
@click.option("--write-docs", is_flag=True, help="Renew docs/engines.*; needs matplotlib.")
def main(
    *,
    peers_python: Path | None,
    only: str,
    connections: int,
    seconds: float,
    repeat: int,
    quick: bool,
    out: Path | None,
    write_docs: bool,
) -> None:
    """Compare Itemwire's engines, and its peers over Redis, on this machine."""
    if quick and write_docs:
        raise click.UsageError("a quick run says nothing that belongs into the docs")
    if quick:
        connections, seconds, repeat = QUICK_CONNECTIONS, QUICK_SECONDS, 1
    python = None if peers_python is None else str(peers_python.absolute())
    plan = Plan(connections, seconds, peers_python=python)
    comparison = compare(chosen(only, CONTENDERS, "--only"), plan, repeat)
    click.echo(as_markdown(comparison))
    if out is not None:
        comparison.save(out)
    if write_docs:
        from benchmarks.engine_picture import renew_docs  # noqa: PLC0415 - needs matplotlib

        renew_docs(comparison)


def compare(names: Sequence[str], plan: Plan, repeat: int) -> Comparison:
    """Measure round by round, as many as there is time for.

    A contender that does not start is left out from then on.
    """
    allow_files(MOST_SOCKETS)
    began = time.monotonic()
    with pinned() as core:
        comparison = Comparison({})
        plan = dataclasses.replace(plan, core=core)
        for turn in range(repeat):
            _measure_all(names, plan, comparison, f"{turn + 1} of {repeat}")
            passed = time.monotonic() - began
            if passed + passed / (turn + 1) > MOST_SECONDS:
                break
    comparison.conditions |= conditions(core, turn + 1)
    comparison.conditions |= {
        "subscribers": f"{plan.connections:,}",
        "a window": f"{plan.seconds:g} s",
    }
    return comparison


def _measure_all(names: Sequence[str], plan: Plan, comparison: Comparison, which: str) -> None:
    for name in [name for name in names if name not in comparison.absent]:
        click.echo(f"{CONTENDERS[name].title}: {which}", err=True)
        try:
            Trial(name, plan, comparison).run()
        except Absent as error:
            comparison.absent[name] = str(error)


if __name__ == "__main__":
    main()
