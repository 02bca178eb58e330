"""The command: every attack against a fresh server, a line each."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence

import click

from itemwire.bench.crowd import allow_files
from tests.siege.attack import Row
from tests.siege.attacking import attacking
from tests.siege.attacks import ATTACKS, ROWS
from tests.siege.besieging import Plan, Report, besiege
from tests.siege.cores import other_cores, run_at_once
from tests.siege.server import besieged
from tests.siege.verdicts import HEADING, broken, line_of, notes_of


def run(row: Row, plan: Plan) -> Report:
    """Run one attack against a server of its own."""
    with besieged(row.settings, row.files) as server, attacking(server) as attacker:
        return asyncio.run(besiege(server, attacker, row, plan))


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(ATTACKS)), help="These attacks.")
@click.option("--rounds", default=3, show_default=True, help="Rounds of each attack.")
@click.option("--seconds", default=1.0, show_default=True, help="Length of a round.")
def main(only: Sequence[str], rounds: int, seconds: float) -> None:
    """Attack, and exit with 1 if a bound is broken."""
    os.sched_setaffinity(0, other_cores())
    run_at_once()
    allow_files(64)
    plan, began = Plan(rounds=rounds, seconds=seconds), time.monotonic()
    faults: list[str] = []
    click.echo(HEADING)
    for row in ROWS:
        if only and row.name not in only:
            continue
        report = run(row, plan)
        click.echo(line_of(report, plan))
        lines = broken(report, plan)
        faults += [f"{row.name}: {line}" for line in lines]
        if notes := notes_of(report):
            click.echo(f"    {notes}")
    click.echo(f"\n{len(faults)} bounds were broken, in {time.monotonic() - began:.0f} s")
    for fault in faults:
        click.echo(f"  {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
