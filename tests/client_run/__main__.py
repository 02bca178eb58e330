"""The command: see the package."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import click

from tests.client_run.processes import Crowd
from tests.client_run.run import run


@click.command()
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--clients", default=20, show_default=True, help="Of each language.")
@click.option("--pace", default=5.0, show_default=True, help="Seconds between a client's messages.")
def main(*, seconds: float, clients: int, pace: float) -> None:
    """Run it once and say what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(run(Path(folder), Crowd(clients, pace), seconds=seconds))
    click.echo(outcome.summary())
    for fault in (faults := outcome.faults())[:20]:
        click.echo(fault, err=True)
    click.echo(f"{len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
