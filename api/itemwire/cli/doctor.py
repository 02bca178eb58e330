"""`doctor`: looks at everything that a server depends on, and says what to do."""

import asyncio
import json
import sys
from dataclasses import asdict
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from itemwire.cli.channels import token_option
from itemwire.cli.configuration import ConfigurationProblem, faults_of, stamp_of
from itemwire.cli.tokens import signing_key
from itemwire.ops.doctor.doctor import examine
from itemwire.ops.doctor.findings import Finding, Level, wrong
from itemwire.ops.doctor.proxy_checks import ITEM
from itemwire.ops.doctor.visit import Visit
from itemwire.runbook import EXIT_STATUSES
from itemwire.settings import Settings
from itemwire_auth.tokens.minting import mint

SUBJECT = "itemwire-doctor"
TOKEN_SECONDS = 300

Row = tuple[str, Finding]


@click.command()
@click.option("--public-url", help="The server's URL as clients write it, to try the proxy.")
@click.option(
    "--idle-seconds",
    type=click.FloatRange(min=0, max=600),
    default=0,
    help="Also leave a socket alone for so long, as the proxy may cut it.",
)
@click.option("--source", help="An address of this machine to come from, with --public-url.")
@token_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(
    public_url: str | None,
    idle_seconds: float,
    source: str | None,
    token: str | None,
    *,
    as_json: bool,
) -> None:
    """Look at all that a server depends on, with the settings that it has.

    Prints a line for each thing that is good, doubtful (`warning`) or wrong (`fault`), and what to
    do about it. Exits with 1 if anything is wrong. It may be run beside a server that serves.
    """
    url = _checked(public_url)
    settings = _settings()
    if isinstance(settings, Settings):
        own = token or _own_token(settings)
        visit = Visit(settings, url, own, idle_seconds, source)
        rows = asyncio.run(_rows(visit, is_quiet=as_json))
    else:
        rows = [("settings", wrong(text, EXIT_STATUSES["78"].remedy)) for text in settings]
        for row in [] if as_json else rows:
            _print(row)
    is_good = all(finding.level != Level.FAULT for _, finding in rows)
    if as_json:
        found = [{"check": name, **asdict(finding)} for name, finding in rows]
        click.echo(json.dumps({"ok": is_good, "findings": found}, indent=2))
    sys.exit(0 if is_good else 1)


async def _rows(visit: Visit, *, is_quiet: bool) -> list[Row]:
    """Return all that is found; it is printed as soon as it is known."""
    rows: list[Row] = []
    async for row in examine(visit):
        rows.append(row)
        if not is_quiet:
            _print(row)
    return rows


def _print(row: Row) -> None:
    name, finding = row
    advice = f": {finding.remedy}" if finding.remedy else ""
    line = " ".join(f"{finding.says}{advice}".split())
    click.echo(f"{finding.level:<8} {name:<12} {line}")


def _settings() -> Settings | list[str]:
    """Return the settings as `serve` reads them, or what is wrong with each."""
    try:
        return Settings()
    except ValidationError as error:
        return faults_of(error)
    except ValueError as error:
        return [str(error)]


def _checked(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise click.BadParameter("write https://host", param_hint="--public-url")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _own_token(settings: Settings) -> str | None:
    """Return a token that this server takes, where there is a key to sign with."""
    try:
        key = signing_key(settings, None)
    except ConfigurationProblem:
        return None
    return mint(
        key,
        subject=SUBJECT,
        scope=f"items:{ITEM}:subscribe",
        lifetime=min(TOKEN_SECONDS, settings.max_token_lifetime),
        **stamp_of(settings),
    )
