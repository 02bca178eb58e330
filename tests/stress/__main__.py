"""The command: see the package."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tests.small_disk import MISSING, can_mount
from tests.stress.clients import Unsound
from tests.stress.failover import FAULTS_OF, faults_of
from tests.stress.machines import MACHINES
from tests.stress.run import run


def planned(names: Sequence[str], seconds: float, rounds: int, seed: int) -> Iterator[str]:
    """Give faults by chance, each once before one comes again: so many, or until time is over."""
    randomness, begun = random.Random(seed), time.monotonic()  # noqa: S311 - to be repeated
    done = 0
    while True:
        for name in randomness.sample(names, len(names)):
            took = time.monotonic() - begun
            if done >= rounds if rounds else took > seconds:
                return
            done += 1
            click.echo(f"{took:7.1f} s {done:4} {name}", err=True)
            yield name


def flattened(group: BaseExceptionGroup[Unsound]) -> Iterator[Unsound]:
    """Give what is in a group, and in the groups in it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from flattened(error)
        else:
            yield error


@click.command()
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--rounds", default=0, help="Faults, one in a round; instead of --seconds.")
@click.option("--direct", is_flag=True, help="No proxy between nodes and engine.")
@click.option("--engine", default="", help=f"A URL, or {', '.join(FAULTS_OF)}; by default a file.")
@click.option("--nodes", default=1, show_default=True)
@click.option("--faults", default="", help="Names with commas between; by default all that can be.")
@click.option("--calm", default=1.0, show_default=True, help="Seconds between two faults.")
@click.option("--seed", default=1, show_default=True)
def main(
    *,
    seconds: float,
    rounds: int,
    direct: bool,
    engine: str,
    nodes: int,
    faults: str,
    calm: float,
    seed: int,
) -> None:
    """Run it once and say what came of it."""
    possible = tuple(faults_of(engine, is_direct=direct))
    if engine in MACHINES and not can_mount():
        click.echo(MISSING, err=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # all that was begun is ended
    names = faults.split(",") if faults else possible
    if unknown := set(names) - set(possible):
        raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(possible)}")
    with tempfile.TemporaryDirectory() as folder:
        on = engine or f"sqlite:///{folder}/stress.db"
        plan = planned(names, seconds, rounds, seed)
        running = run(on, Path(folder), plan, nodes=nodes, calm=calm, seed=seed, is_direct=direct)
        try:
            click.echo(asyncio.run(running).check())
        except* Unsound as unsound:
            for error in flattened(unsound):
                click.echo(f"{type(error).__name__}: {error}", err=True)
            sys.exit(1)


if __name__ == "__main__":
    main()
