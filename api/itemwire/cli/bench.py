"""`bench`: puts load on a deployment and measures it."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Final, TextIO

import click

from itemwire.bench.errors import BenchError, HandshakeRefused
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
@click.option(
    "--token", "tokens", multiple=True, envvar="ITEMWIRE_TOKEN", help="A token; may be repeated."
)
@click.option("--tokens-file", type=click.File(), help="A file of tokens, one per line.")
@click.option(
    "--path",
    default=ITEMWIRE_PATH,
    show_default=True,
    help="Path; {item} and {token} are replaced.",
)
@click.option("--subprotocol", help="Subprotocol to offer; itemwire.v1.json sends envelopes.")
@click.option("--conns", type=COUNT, help="Connections, in place of each measure's default.")
@click.option(
    "--items", type=COUNT, default=1, show_default=True, help="Items to spread them over."
)
@click.option(
    "--inflight", default="1,8", show_default=True, help="Messages in flight, comma-separated."
)
@click.option("--rate", type=AMOUNT, help="Send this many messages a second instead.")
@click.option(
    "--seconds", type=AMOUNT, default=3.0, show_default=True, help="Seconds per measured window."
)
@click.option("--size", type=COUNT, default=128, show_default=True, help="Bytes per message.")
@click.option(
    "--repeat", type=COUNT, default=1, show_default=True, help="Repeat, and print medians."
)
@click.option(
    "--pid",
    type=COUNT,
    help="The server's process on this machine: for `idle`, and its CPU (`--json`).",
)
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
    """Put load on a deployment and measure it. Do not use it on one that serves real users.

    \b
    connect   handshakes a second; 2000 connections
    fanout    messages to all subscribers of an item; 1000 connections
    echo      round trips, each connection alone on its item; 50 connections
    idle      the server's memory per idle connection; 5000 connections; needs --pid
    ceiling   the highest message rate that reaches 1000 connections within 30 ms
    all       connect, fanout, echo, and idle if --pid is given (the default)

    Without --token and --tokens-file, tokens are made with ITEMWIRE_SECRET or ITEMWIRE_KEYS_FILE.
    Every delivery is counted; missing and duplicate deliveries are an error (exit code 1). Latency
    is measured on a sample of 32 subscribers.

    The load generator is a single Python thread. On one core it can receive about 0.3 million
    deliveries a second one by one, 2 million in chunks of 8, 5 million in chunks of 32, and make
    0.1 million round trips. It warns if it was itself the limit.
    """  # noqa: D301 - \b is click's mark for a paragraph that is not wrapped
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
        hint = " (no token was sent: set ITEMWIRE_SECRET to the server's secret)"
        needs_token = isinstance(error, HandshakeRefused) and not credentials
        raise click.ClickException(f"{error}{hint if needs_token else ''}") from error
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
        raise click.BadParameter(
            "must be numbers separated by commas", param_hint="--inflight"
        ) from error
    if min(numbers) < 1:
        raise click.BadParameter("must be 1 or more", param_hint="--inflight")
    return numbers


def _lines(file: TextIO | None) -> list[str]:
    return [line.strip() for line in file if line.strip()] if file else []


def _own_tokens() -> tuple[str, ...]:
    """Return new tokens with rights to the items `bench:…` only; none if there is no key."""
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
