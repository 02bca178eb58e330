"""Has ten thousand clients come and go in seven ways: `python -m tests.soak --visits 10000`.

Exits with 1 if descriptors, tasks, connections or members are left, or memory has grown.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Final

import click

from itemwire.assembly import Assembly
from itemwire.settings import Settings
from itemwire.testing import live_server
from tests.conformance.websocket_churn import WAYS, Door, footprint
from tests.conformance.websocket_targets import wait_until
from tests.conftest import SECRET
from tests.fakes import known_members
from tests.scenarios.clients import item_path, token

WARM_VISITS: Final = 500  # in each way: caches and pools are full then
MAX_GROWTH: Final = 4 << 20


def resident_bytes() -> int:
    """Say how much memory this process has, server and clients."""
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024


def visit(door: Door, visits: int) -> None:
    """Come and go so many times in each way, and wait until the server has noticed."""
    for number in range(visits):
        for way in WAYS.values():
            way(door)
        if number % 100 == 99:
            click.echo(f"\r{number + 1} of {visits} in {len(WAYS)} ways", nl=False, err=True)
    click.echo(err=True)
    wait_until(lambda: footprint(door.server).connections == 0, 30)


@click.command()
@click.option("--visits", default=10_000, show_default=True, help="How many in all ways together.")
def main(visits: int) -> None:
    """Let clients come and go, then compare what the server holds with what it held."""
    logging.disable()  # a line for each refusal
    path = item_path("soak", {"token": token(lifetime=3600)})
    with live_server(Settings(secret=SECRET, _env_file=None)) as live:
        with live.connect(path):
            pass  # it is up: this connected
        door = Door(live.server, path, item_path("soak", {"token": "not.a.token"}))
        visit(door, WARM_VISITS)
        before, memory, began = footprint(live.server), resident_bytes(), time.monotonic()
        visit(door, visits // len(WAYS))
        wait_until(lambda: footprint(live.server) == before, 30)
        grown = resident_bytes() - memory
        app = live.server.config.app
        node = Assembly.of(app).node  # type: ignore[arg-type] # FastAPI's
        wait_until(lambda: known_members(node, "soak").count == 0, 30)  # the absent are waited for
        members = known_members(node, "soak").count
    click.echo(f"{visits} visits in {time.monotonic() - began:.0f} s; before and after: {before}")
    click.echo(f"memory grew by {grown / 1024:.0f} KiB from {memory >> 20} MiB; members: {members}")
    sys.exit(1 if members or grown > MAX_GROWTH else 0)


if __name__ == "__main__":
    main()
