"""Itemwire and its peers in turn, doing the same work: `python -m benchmarks.compare`.

The server has one core and the load generator another. For each work, each peer is started anew,
does it once and is stopped; then the next; and so round as often as is asked for. So all that is
compared was measured within the same minutes, and the medians are what is shown.
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
from benchmarks.peers import PEERS
from benchmarks.peers.serving import HOST
from benchmarks.running import Absent, Server, pinned, running
from benchmarks.tokens import tokens_for
from benchmarks.works import WORKS, Work
from itemwire.bench.crowd import allow_files
from itemwire.bench.errors import BenchError
from itemwire.bench.loop import new_event_loop
from itemwire.bench.results import Result
from itemwire.bench.target import target_of
from itemwire_auth.tokens.minting import new_secret

MOST_SOCKETS: Final = 8192  # also for the servers, which inherit the limit of open files


@click.command()
@click.option("--peers", default=",".join(PEERS), show_default=True, help="Whom to compare.")
@click.option("--only", default=",".join(WORKS), show_default=True, help="Which works.")
@click.option("--repeat", default=3, show_default=True, help="Rounds; medians are shown.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of a window.")
@click.option("--quick", is_flag=True, help="Small and short: only to see that it runs.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all runs there as JSON.")
@click.option("--write-docs", is_flag=True, help="Renew docs/performance.*; needs matplotlib.")
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
    if quick and write_docs:
        raise click.UsageError("a quick run says nothing that belongs into the docs")
    works = {
        name: WORKS[name].scaled(seconds=seconds, quick=quick)
        for name in chosen(only, WORKS, "--only")
    }
    comparison = compare(chosen(peers, PEERS, "--peers"), works, 1 if quick else repeat)
    if quick:
        comparison.conditions["size"] = "quick: a fraction of the connections, not to be quoted"
    click.echo(as_markdown(comparison) if markdown else as_text(comparison))
    if out is not None:
        comparison.save(out)
    if write_docs:
        from benchmarks.plot import renew_docs  # noqa: PLC0415 - needs matplotlib

        renew_docs(comparison)


def compare(peers: Sequence[str], works: dict[str, Work], repeat: int) -> Comparison:
    """Measure each work round by round; a peer that does not start is left out from then on."""
    allow_files(MOST_SOCKETS)
    secret = new_secret()
    with pinned() as core:
        comparison = Comparison(conditions(core, repeat))
        for name, work in works.items():
            for turn in range(repeat):
                for peer in [peer for peer in peers if peer not in comparison.absent]:
                    click.echo(f"{work.title}: {peer}, {turn + 1} of {repeat}", err=True)
                    try:
                        with running(peer, secret, core) as server:
                            comparison.take(name, peer, _measure(work, peer, secret, server))
                    except Absent as error:
                        comparison.absent[peer] = str(error)
                    except BenchError as error:
                        comparison.fail(name, peer, str(error))
    return comparison


def _measure(work: Work, peer: str, secret: str, server: Server) -> Result:
    target = target_of(
        f"http://{HOST}:{server.port}",
        path=PEERS[peer].path,
        tokens=tokens_for(secret),
        dialect=PEERS[peer].dialect,
    )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work.run(target, work.load, server.pid, _quiet))


def _quiet(_text: str) -> None:
    pass


def conditions(core: int | None, repeat: int) -> dict[str, str]:
    """Say on what a comparison was made."""
    return {
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "server": "on all cores" if core is None else "on one core, load from another",
        "medians of": str(repeat),
        "date": time.strftime("%Y-%m-%d"),
    }


def chosen(words: str, known: Iterable[str], option: str) -> list[str]:
    """Read names between commas; BadParameter if one is not known."""
    names = words.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.BadParameter(f"{unknown[0]} is none of {', '.join(known)}", param_hint=option)
    return names


if __name__ == "__main__":
    main()
