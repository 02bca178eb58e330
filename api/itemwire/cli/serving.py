"""`dev` and `serve`: the same server, for trying things out and for real."""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import click

from itemwire.cli.configuration import ConfigurationProblem, load_settings, stamp_of
from itemwire.engines import UNSHARED
from itemwire.serving.server import serve as run_server
from itemwire.serving.workers import serve_by_workers
from itemwire.settings import MAX_WORKERS, Settings
from itemwire_auth.keys.algorithms import SigningKey
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint, new_secret

logger = logging.getLogger("itemwire.server")

ONE_WORKER: Final = ("", "0", "1")  # values of WEB_CONCURRENCY by which nothing is asked for

TOKEN_SECONDS = 12 * 3600  # a working day; `dev` has a new secret at each start anyway

OTHER_KEYS = ("keys_file", "jwks_url", "issuers_file")  # than the secret; `dev` has its own

EVERYTHING = "items:subscribe items:publish items:history items:presence"
READING = "items:subscribe items:history items:presence"

host_option = click.option("--host", help="Address to listen on [ITEMWIRE_HOST].")
port_option = click.option("--port", type=int, help="Port, 0 for a free one [ITEMWIRE_PORT].")


@click.command()
@host_option
@port_option
@click.option(
    "--workers",
    type=int,
    help="Processes, on a shared engine [ITEMWIRE_WORKERS, then WEB_CONCURRENCY].",
)
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve with the settings of the environment and `.env`."""
    settings = load_settings(**_given(host=host, port=port, workers=workers))
    platform = os.environ.get("WEB_CONCURRENCY", "").strip()
    if (count := workers_of_platform(settings, platform)) is not None:
        settings = settings.model_copy(update={"workers": count})
    is_ignored = platform not in ONE_WORKER and "workers" not in settings.model_fields_set

    def announce(url: str) -> None:
        if is_ignored:
            engine = settings.engine_url.partition("://")[0]
            logger.warning("web_concurrency_ignored value=%r engine=%s", platform, engine)
        if settings.log_format == "json":  # in which every line is an object
            logger.info("listening url=%s", url)
        else:
            click.echo(f"Listening on {url}", err=True)

    _run(settings, announce)


@click.command()
@host_option
@port_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the page.")
def dev(host: str | None, port: int | None, *, as_json: bool) -> None:
    """Serve at once, with a secret of its own and ready-made tokens. Not for production."""
    secret = new_secret()
    no_other: dict[str, None] = dict.fromkeys(OTHER_KEYS)
    settings = load_settings(
        **_given(host=host, port=port),
        secret=secret,
        cookie_secure=False,  # there is no https here
        **no_other,
    )
    tokens = make_tokens(settings, signing_key_from_secret(secret))

    def announce(url: str) -> None:
        if as_json:
            click.echo(json.dumps({"url": url} | {token.name: token.value for token in tokens}))
        else:
            click.echo(welcome_page(url, tokens))

    _run(settings, announce)


def workers_of_platform(settings: Settings, asked: str) -> int | None:
    """Tell how many workers the platform asks for, None: nothing that can be followed.

    A platform sets the variable for whatever runs on it, mostly unasked. So it is no mistake to
    have it where the engine lives in one process, as it is to set ITEMWIRE_WORKERS there.
    """
    if "workers" in settings.model_fields_set or not (asked.isascii() and asked.isdecimal()):
        return None
    if settings.engine_url.partition("://")[0] in UNSHARED or not 1 <= int(asked) <= MAX_WORKERS:
        return None
    return int(asked)


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _run(settings: Settings, announce: Callable[[str], None]) -> None:
    try:
        (run_server if settings.workers == 1 else serve_by_workers)(settings, announce)
    except ValueError as error:
        raise ConfigurationProblem(str(error)) from error
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise click.ClickException(
            f"cannot listen on {where}: {error.strerror or error}"
        ) from error


@dataclass(frozen=True, slots=True)
class ReadyToken:
    """A token to try, and what to expect of it."""

    name: str
    value: str
    meaning: str


def make_tokens(settings: Settings, key: SigningKey) -> list[ReadyToken]:
    """Mint a reader, a writer and one whose time has passed, as the settings ask for them."""

    def token(subject: str, scope: str, now: float) -> str:
        return mint(
            key,
            subject=subject,
            scope=scope,
            lifetime=min(TOKEN_SECONDS, settings.max_token_lifetime),
            now=now,
            **stamp_of(settings),
        )

    now = time.time()
    return [
        ReadyToken("reader", token("reader", READING, now), "watches every item, sends nothing"),
        ReadyToken("writer", token("writer", EVERYTHING, now), "watches and sends"),
        ReadyToken(
            "expired",
            token("writer", EVERYTHING, now - 2 * TOKEN_SECONDS),
            "is refused with 1008 credentials_invalid",
        ),
    ]


def welcome_page(url: str, tokens: list[ReadyToken]) -> str:
    """Say what to paste next, and what this server is not for."""
    writer = next(token.value for token in tokens if token.name == "writer")
    socket_url = f"{url.replace('http', 'ws', 1)}/items/42/ws?token={writer}"
    listed = "\n\n".join(f"  {token.name} {token.meaning}:\n{token.value}" for token in tokens)
    return f"""
Itemwire (development) is listening on {url}

Tokens, good for 12 hours or until this process ends:

{listed}

Open the console in two tabs and talk to yourself:

  {url}/#item=42&token={writer}

Or from a shell:

  websocat '{socket_url}'
  wscat -c '{socket_url}'

Not for production: whoever reads this page may send to every item, the secret is
forgotten at exit, and there is no TLS. For that, set ITEMWIRE_SECRET (or
ITEMWIRE_KEYS_FILE) and run `itemwire serve` behind a proxy that speaks wss.
"""
