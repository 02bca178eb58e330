"""Compares Itemwire's engines and its peers over Redis: `python -m benchmarks.engines`.

Each contender is measured with one node, then with two, which have half of the subscribers each.
Messages are published on the first node. All nodes and the store share one core, and the load
generator has another. In every round, each contender gets a new store and new nodes. The report
shows medians.
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
from benchmarks.writing import check_docs_can_be_renewed
from itemwire.bench.crowd import allow_files

QUICK_CONNECTIONS: Final = 10
QUICK_SECONDS: Final = 0.2
MOST_SECONDS: Final = 480.0  # in all: a round that would end later is not started


@click.command()
@click.option(
    "--peers-python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python with the packages of benchmarks/peers/over_redis.txt.",
)
@click.option(
    "--only", default=",".join(CONTENDERS), show_default=True, help="Contenders to compare."
)
@click.option("--connections", default=1000, show_default=True, help="Subscribers in all.")
@click.option("--seconds", default=1.0, show_default=True, help="Seconds per window.")
@click.option("--repeat", type=click.IntRange(1), default=3, show_default=True, help="Most rounds.")
@click.option("--quick", is_flag=True, help="A tiny load, only to check that it runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all runs to a JSON file.")
@click.option("--write-docs", is_flag=True, help="Update docs/engines.*; needs matplotlib.")
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
    if write_docs:
        check_docs_can_be_renewed(is_quick=quick)
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
    """Measure up to `repeat` rounds, as far as there is time.

    A contender is left out once it has failed to start.
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
