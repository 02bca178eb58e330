"""Compares Itemwire with its peers at the same work: `python -m benchmarks.compare`.

The server has one core and the load generator another. For each work, every peer in turn is
started, measured once and stopped; then the next round begins. So figures that are compared were
measured within the same minutes. The report shows medians.
"""

import asyncio
import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import click

from benchmarks.comparison import Comparison, as_markdown, as_text
from benchmarks.peers import PEERS, VARIANTS
from benchmarks.peers.serving import HOST
from benchmarks.running import Absent, Server, pinned, running
from benchmarks.tokens import tokens_for
from benchmarks.works import WORKS, WORKS_OF_VARIANTS, Work
from benchmarks.writing import check_docs_can_be_renewed
from itemwire.bench.crowd import allow_files
from itemwire.bench.errors import BenchError
from itemwire.bench.loop import new_event_loop
from itemwire.bench.results import Result
from itemwire.bench.target import target_of
from itemwire_auth.tokens.minting import new_secret

ALL: Final = PEERS | VARIANTS
MOST_SOCKETS: Final = 8192  # the servers inherit this limit of open files


@click.command()
@click.option("--peers", default=",".join(ALL), show_default=True, help="Peers to compare.")
@click.option("--only", default=",".join(WORKS), show_default=True, help="Works to measure.")
@click.option("--repeat", default=3, show_default=True, help="Rounds; medians are shown.")
@click.option("--seconds", default=3.0, show_default=True, help="Seconds per window.")
@click.option("--quick", is_flag=True, help="A tiny load, only to check that it runs.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all runs to a JSON file.")
@click.option("--write-docs", is_flag=True, help="Update docs/performance.*; needs matplotlib.")
def main(
    *,
    peers: str,
    only: str,
    repeat: int,
    seconds: float,
    quick: bool,
    markdown: bool,
    out: Path | None,
    write_docs: bool,
) -> None:
    """Compare Itemwire with its peers on this machine."""
    if write_docs:
        check_docs_can_be_renewed(is_quick=quick)
    works = {
        name: WORKS[name].scaled(seconds=seconds, quick=quick)
        for name in chosen(only, WORKS, "--only")
    }
    rounds = 1 if quick else repeat
    comparison = compare(chosen(peers, ALL, "--peers"), works, rounds, needs_all=write_docs)
    if quick:
        comparison.conditions["size"] = "quick: a fraction of the connections, not to be quoted"
    click.echo(as_markdown(comparison) if markdown else as_text(comparison))
    if out is not None:
        comparison.save(out)
    if write_docs:
        from benchmarks.plot import renew_docs  # noqa: PLC0415 - needs matplotlib

        renew_docs(comparison)


def compare(
    peers: Sequence[str], works: dict[str, Work], repeat: int, *, needs_all: bool = False
) -> Comparison:
    """Measure each work round by round; leave a peer out once it has failed to start.

    Raises `click.ClickException` then where all are needed: a column of a page would be missing.
    """
    allow_files(MOST_SOCKETS)
    secret = new_secret()
    with pinned() as core:
        comparison = Comparison(conditions(core, repeat))
        for name, work in works.items():
            for turn in range(repeat):
                for peer in [peer for peer in peers if _takes_part(peer, name, work, comparison)]:
                    click.echo(f"{work.title}: {peer}, {turn + 1} of {repeat}", err=True)
                    try:
                        with running(peer, secret, core) as server:
                            comparison.take(name, peer, _measure(work, peer, secret, server))
                    except Absent as error:
                        if needs_all:
                            raise click.ClickException(str(error)) from None
                        comparison.absent[peer] = str(error)
                    except BenchError as error:
                        comparison.fail(name, peer, str(error))
    return comparison


def _takes_part(peer: str, name: str, work: Work, comparison: Comparison) -> bool:
    """Return whether a peer can do a work, and starts; another way to run ours has fewer."""
    is_asked = peer in work.peers and (peer in PEERS or name in WORKS_OF_VARIANTS)
    return is_asked and peer not in comparison.absent


def _measure(work: Work, peer: str, secret: str, server: Server) -> Result:
    target = target_of(
        f"http://{HOST}:{server.port}",
        path=ALL[peer].path,
        tokens=tokens_for(secret, work.tokens),
        subprotocol=work.subprotocol,
        dialect=None if work.subprotocol else ALL[peer].dialect,
    )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work.run(target, work.of(server.pid), server.pid, _quiet))


def _quiet(_text: str) -> None:
    pass


def conditions(core: int | None, repeat: int) -> dict[str, str]:
    """Return the machine, versions and date of a comparison."""
    return {
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "server": "on all cores" if core is None else "on one core, load from another",
        "medians of": str(repeat),
        "date": time.strftime("%Y-%m-%d"),
    }


def chosen(words: str, known: Iterable[str], option: str) -> list[str]:
    """Parse comma-separated names; raise `BadParameter` if one is unknown."""
    names = words.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.BadParameter(
            f"{unknown[0]} is not one of {', '.join(known)}", param_hint=option
        )
    return names


if __name__ == "__main__":
    main()
