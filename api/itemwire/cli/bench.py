"""`bench`: load on a deployment, and what it makes of it."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Final, TextIO

import click

from itemwire.bench.errors import BenchError, Refused
from itemwire.bench.loop import new_event_loop
from itemwire.bench.plan import MEASURES, Plan, carry_out
from itemwire.bench.report import as_json as result_as_json
from itemwire.bench.report import remarks, table
from itemwire.bench.results import Result
from itemwire.bench.target import ITEMWIRE_PATH, target_of
from itemwire.cli.channels import url_option
from itemwire.cli.configuration import load_settings, stamp_of
from itemwire.cli.tokens import signing_key
from itemwire_auth.tokens.minting import mint

SUBJECTS: Final = 100
TOKEN_SECONDS: Final = 3600
SCOPE: Final = "items:bench:*:subscribe items:bench:*:publish"
EXIT_INTERRUPTED: Final = 130

COUNT: Final = click.IntRange(min=1)
AMOUNT: Final = click.FloatRange(min=0, min_open=True)


@click.command()
@click.argument("measures", nargs=-1, type=click.Choice([*MEASURES, "all"]), metavar="[MEASURE]...")
@url_option
@click.option("--token", "tokens", multiple=True, envvar="ITEMWIRE_TOKEN", help="A credential.")
@click.option("--tokens-file", type=click.File(), help="Credentials, one a line, used in turn.")
@click.option("--path", default=ITEMWIRE_PATH, show_default=True, help="{item} and {token} go in.")
@click.option("--subprotocol", help="What to offer; with itemwire.v1.json, envelopes are sent.")
@click.option("--conns", type=COUNT, help="Connections, instead of each measure's own number.")
@click.option("--items", type=COUNT, default=1, show_default=True, help="Items they are spread on.")
@click.option("--inflight", default="1,8", show_default=True, help="Messages in flight, a list.")
@click.option("--rate", type=AMOUNT, help="Messages per second instead: an open loop.")
@click.option("--seconds", type=AMOUNT, default=3.0, show_default=True, help="Length of a window.")
@click.option("--size", type=COUNT, default=128, show_default=True, help="Bytes of a message.")
@click.option("--repeat", type=COUNT, default=1, show_default=True, help="Take medians of so many.")
@click.option("--pid", type=COUNT, help="The server's process on this machine, for `idle`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(
    *,
    measures: tuple[str, ...],
    url: str,
    tokens: tuple[str, ...],
    tokens_file: TextIO | None,
    path: str,
    subprotocol: str | None,
    conns: int | None,
    items: int,
    inflight: str,
    rate: float | None,
    seconds: float,
    size: int,
    repeat: int,
    pid: int | None,
    as_json: bool,
) -> None:
    """Put load on a deployment and measure it. Not on one that others are using.

    \b
    connect   handshakes a second, 2000 connections
    fanout    messages to all who watch an item, 1000 connections
    echo      round trips of connections that are alone on an item, 50 connections
    idle      memory a silent connection takes in the server, 5000 connections; needs --pid
    ceiling   the highest rate that 1000 connections still hear within 30 ms
    all       connect, fanout, echo, and idle if --pid is given (the default)

    Tokens are made with ITEMWIRE_SECRET (or ITEMWIRE_KEYS_FILE) if none is given. Every delivery
    is counted and what is missing or comes twice is an error (exit code 1). Latency is that of a
    sample of 32 subscribers.

    This is one Python thread. On one core it took about 0.3 million deliveries a second that come
    one by one, 2 million in chunks of 8, 5 million in chunks of 32, and 0.1 million round trips.
    It warns if it was the limit itself.
    """  # noqa: D301 - \b is click's, for a paragraph that is not to be wrapped
    plan = Plan(
        measures=_chosen(measures, pid),
        connections=conns,
        items=items,
        in_flight=_numbers(inflight),
        rate=rate,
        seconds=seconds,
        size=size,
        repeat=repeat,
        pid=pid,
    )
    credentials = (*tokens, *_lines(tokens_file)) or _own_tokens()
    try:
        target = target_of(url, path=path, tokens=credentials, subprotocol=subprotocol)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            results = runner.run(carry_out(plan, target, _progress))
    except BenchError as error:
        hint = " (no token was sent: set ITEMWIRE_SECRET as the server has it)"
        wanting = isinstance(error, Refused) and not credentials
        raise click.ClickException(f"{error}{hint if wanting else ''}") from error
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    _print(url, results, as_json=as_json)


def _chosen(measures: Sequence[str], pid: int | None) -> list[str]:
    if measures and "all" not in measures:
        return list(dict.fromkeys(measures))
    return [name for name in MEASURES if name != "ceiling" and (name != "idle" or pid)]


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise click.BadParameter("not numbers with commas", param_hint="--inflight") from error
    if min(numbers) < 1:
        raise click.BadParameter("at least one is in flight", param_hint="--inflight")
    return numbers


def _lines(file: TextIO | None) -> list[str]:
    return [line.strip() for line in file if line.strip()] if file else []


def _own_tokens() -> tuple[str, ...]:
    """Mint tokens that may use items called `bench:…` and no others; none without a key."""
    settings = load_settings()
    if settings.secret is None and settings.keys_file is None:
        return ()
    key = signing_key(settings, None)
    return tuple(
        mint(
            key,
            subject=f"bench-{number}",
            scope=SCOPE,
            lifetime=min(TOKEN_SECONDS, settings.max_token_lifetime),
            **stamp_of(settings),
        )
        for number in range(SUBJECTS)
    )


def _progress(text: str) -> None:
    click.echo(text, err=True)


def _print(url: str, results: Sequence[Result], *, as_json: bool) -> None:
    if as_json:
        report = {"url": url, "results": [result_as_json(result) for result in results]}
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(table(results))
    for remark in remarks(results):
        click.echo(f"Warning: {remark}", err=True)
    if any(result.problems for result in results):
        sys.exit(1)
