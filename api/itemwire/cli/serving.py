"""`dev` and `serve`: the same server, for trying it out and for production."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from itemwire.cli.configuration import ConfigurationProblem, load_settings, stamp_of
from itemwire.engines import UNSHARED
from itemwire.serving.listening import never_comes_right, place_of
from itemwire.serving.server import serve as run_server
from itemwire.serving.signals import interruptible
from itemwire.settings import MAX_WORKERS, PREFIX, Settings
from itemwire_auth.keys.algorithms import SigningKey
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint, new_secret

logger = logging.getLogger("itemwire.server")

ONE_WORKER: Final = ("", "0", "1")  # values of WEB_CONCURRENCY that ask for no more workers

ONE_ANYWAY: Final = (
    "ITEMWIRE_SHARE_ENGINE is for several workers: one has one node's connections anyway; unset "
    "it, or set ITEMWIRE_WORKERS"
)

TOKEN_SECONDS = 12 * 3600  # a working day; `dev` makes a new secret at each start anyway

OTHER_KEYS = ("keys_file", "jwks_url", "issuers_file")  # ignored by `dev`, which makes a secret

EVERYTHING = "items:subscribe items:publish items:history items:presence"
READING = "items:subscribe items:history items:presence"

host_option = click.option("--host", help="Address to listen on [ITEMWIRE_HOST].")
port_option = click.option("--port", type=int, help="Port; 0 takes a free one [ITEMWIRE_PORT].")


@click.command()
@host_option
@port_option
@click.option(
    "--workers",
    type=int,
    help="Processes on the port [ITEMWIRE_WORKERS, else WEB_CONCURRENCY].",
)
@click.option(
    "--share-engine",
    is_flag=True,
    default=None,
    help="The workers reach the engine by one process [ITEMWIRE_SHARE_ENGINE].",
)
@click.option(
    "--uds", type=click.Path(path_type=Path), help="Unix socket, not a port [ITEMWIRE_UDS]."
)
@click.option("--fd", type=int, help="Open socket, not a port [ITEMWIRE_FD].")
@click.option("--app", help="Your own application with channels in it, as package.main:app.")
def serve(app: str | None, **given: object) -> None:
    """Run the server, with settings from the environment and `.env`.

    With `--app`, run an application that includes the channels of an `Itemwire`.
    """
    settings = load_settings(**_given(**given))
    platform = os.environ.get("WEB_CONCURRENCY", "").strip()
    if (count := workers_of_platform(settings, platform)) is not None:
        settings = settings.model_copy(update={"workers": count})
    is_ignored = platform not in ONE_WORKER and "workers" not in settings.model_fields_set

    def announce(url: str) -> None:
        if is_ignored:
            engine = settings.engine_url.partition("://")[0]
            logger.warning("web_concurrency_ignored value=%r engine=%s", platform, engine)
        if settings.log_format == "json":  # then every line must be an object
            logger.info("listening url=%s", url)
        else:
            click.echo(f"Listening on {url}", err=True)

    if app is not None:
        sys.path.insert(0, "")  # the folder it is started in, as other servers do
        # Its own settings are read where it is imported, and refuse what does not go with workers.
        os.environ[f"{PREFIX}WORKERS"] = str(settings.workers)
        os.environ[f"{PREFIX}SHARE_ENGINE"] = str(settings.share_engine)
    _run(settings, announce, app)


@click.command()
@host_option
@port_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, not the text.")
def dev(host: str | None, port: int | None, *, as_json: bool) -> None:
    """Run a server for development, with a new secret and ready-made tokens."""
    secret = new_secret()
    no_other: dict[str, None] = dict.fromkeys(OTHER_KEYS)
    settings = load_settings(
        **_given(host=host, port=port),
        secret=secret,
        cookie_secure=False,  # `dev` serves http only
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
    """Return the number of workers that WEB_CONCURRENCY asks for, None to ignore it.

    Hosting platforms set this variable for everything that they run. So it is ignored where the
    engine lives in one process, while ITEMWIRE_WORKERS is an error there.
    """
    if "workers" in settings.model_fields_set or not (asked.isascii() and asked.isdecimal()):
        return None
    if settings.engine_url.partition("://")[0] in UNSHARED or not 1 <= int(asked) <= MAX_WORKERS:
        return None
    return int(asked)


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _run(settings: Settings, announce: Callable[[str], None], app: str | None = None) -> None:
    try:
        with interruptible():
            _way_to_serve(settings)(settings, announce, app)
    except ValueError as error:
        raise ConfigurationProblem(str(error)) from error
    except OSError as error:
        told = f"cannot listen on {place_of(settings)}: {error.strerror or error}"
        kind = ConfigurationProblem if never_comes_right(error) else click.ClickException
        raise kind(told) from error


def _way_to_serve(
    settings: Settings,
) -> Callable[[Settings, Callable[[str], None], str | None], None]:
    if settings.workers == 1:
        if settings.share_engine:
            raise ValueError(ONE_ANYWAY)
        return run_server
    # With what several processes share their metrics by.
    from itemwire.serving.workers import serve_by_workers  # noqa: PLC0415

    return serve_by_workers


@dataclass(frozen=True, slots=True)
class ReadyToken:
    """A token to try, and what it does."""

    name: str
    value: str
    meaning: str


def make_tokens(settings: Settings, key: SigningKey) -> list[ReadyToken]:
    """Return three tokens that fit the settings: a reader, a writer, and an expired one."""

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
        ReadyToken(
            "reader", token("reader", READING, now), "may watch every item, but not publish"
        ),
        ReadyToken("writer", token("writer", EVERYTHING, now), "may watch and publish"),
        ReadyToken(
            "expired",
            token("writer", EVERYTHING, now - 2 * TOKEN_SECONDS),
            "is refused with 1008 credentials_invalid",
        ),
    ]


def welcome_page(url: str, tokens: list[ReadyToken]) -> str:
    """Return the text that `dev` prints: tokens, commands to try, and a warning."""
    writer = next(token.value for token in tokens if token.name == "writer")
    socket_url = f"{url.replace('http', 'ws', 1)}/items/42/ws?token={writer}"
    listed = "\n\n".join(f"  {token.name} {token.meaning}:\n{token.value}" for token in tokens)
    return f"""
Itemwire (development) is listening on {url}

Tokens, valid for 12 hours or until this process ends:

{listed}

Open the console in two browser tabs and send messages between them:

  {url}/#item=42&token={writer}

Or from a shell:

  websocat '{socket_url}'
  wscat -c '{socket_url}'

Not for production: anyone who sees this text may publish to every item, the secret is
lost at exit, and there is no TLS. For production, set ITEMWIRE_SECRET (or
ITEMWIRE_KEYS_FILE) and run `itemwire serve` behind a proxy that speaks wss.
"""
