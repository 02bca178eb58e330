"""Every setting of the server: its default, its unit, and where its value came from."""

import difflib
import os
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from api.channels.slow_readers import read_slow_readers
from auth.settings import AuthSettings, CommaSeparated

PREFIX: Final = "ITEMWIRE_"
ENV_FILE: Final = ".env"

# Read by the command line's clients, not by the server.
CLIENT_VARIABLES: Final = frozenset({"ITEMWIRE_TOKEN", "ITEMWIRE_URL"})


def _checked_rules(text: str) -> str:
    read_slow_readers(text)
    return text


SlowReaderRules = Annotated[str, AfterValidator(_checked_rules)]


class Settings(AuthSettings):
    """Settings of the server; each is read from ITEMWIRE_<NAME> or a `.env` file beside it."""

    model_config = SettingsConfigDict(env_file=ENV_FILE)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is logged. No level logs a credential."
    )
    trusted_proxies: CommaSeparated = Field(
        ("127.0.0.1",),
        description="Addresses whose X-Forwarded-For and -Proto are believed.",
    )
    refusal: Literal["close", "http"] = Field(
        "close",
        description="How a handshake is refused: `close` accepts it and closes with a code and a "
        "reason, which browsers can read; `http` denies it with a status and a JSON body.",
    )
    admin: bool = Field(
        False,
        description="Serve `/admin`: revoke tokens, list and end connections. Its callers need "
        "the word `admin` in the scope of a bearer token.",
    )
    engine_url: str = Field("memory://", description="Where channels live: `memory://`.")
    history_size: int = Field(100, ge=0, description="Messages remembered per item.")
    history_bytes: int = Field(1_048_576, ge=0, description="Bytes of payload remembered per item.")
    history_seconds: float = Field(300, ge=0, description="Seconds a message is remembered.")
    max_message_bytes: int = Field(
        65_536, ge=1, description="Largest message a client may send; past it, close 1009."
    )
    max_items: int = Field(
        100, ge=1, description="Items that one socket at `/ws` may hear at the same time."
    )
    presence_grace: float = Field(
        5,
        ge=0,
        le=600,
        description="Seconds in which a client that was cut off may come back to an item without "
        "having left it in the eyes of others; 0 tells them at once.",
    )
    presence_limit: int = Field(
        1000,
        ge=0,
        le=100_000,
        description="Members of an item that are listed and announced; further ones are counted.",
    )
    outbox_bytes: int = Field(
        1_048_576,
        ge=1,
        description="Bytes that may wait for a client that reads slowly; past it, it is closed "
        "with slow_consumer, unless ITEMWIRE_SLOW_READERS says otherwise.",
    )
    slow_readers: SlowReaderRules = Field(
        "disconnect",
        description="What happens then, by item: `telemetry:*=drop_oldest,*=disconnect`; the first "
        "pattern that matches counts, a word alone is for all items. `disconnect`, `drop_oldest` "
        "or `drop_newest`: messages are left out, and the client is told of the gap.",
    )
    max_unanswered: int = Field(
        10_000,
        ge=1,
        description="Messages that the engine may have to store at a time; past it, publishing is "
        "refused with overloaded. One socket may have a tenth of them.",
    )
    max_unanswered_bytes: int = Field(
        67_108_864, ge=1, description="The same in bytes of payload, of which a socket has a tenth."
    )
    expiry_warning_seconds: int = Field(
        60,
        ge=0,
        description="Seconds ahead of its token's expiry at which a client is told by `expiring`, "
        "or at half of the token's life if that is later; 0 tells none.",
    )
    expiry_grace: float = Field(
        0, ge=0, description="Seconds a socket stays open after its token has expired."
    )
    max_session_seconds: int = Field(
        0,
        ge=0,
        description="Seconds a socket stays open at most, however often it is refreshed; 0 sets no "
        "limit.",
    )
    compression: bool = Field(
        False,
        description="Offer permessage-deflate: one compression a message for all, no memory a "
        "socket. Lengths of compressed messages tell something of what is in them.",
    )
    ping_interval: float = Field(20, gt=0, description="Seconds between pings to a client.")
    ping_timeout: float = Field(20, gt=0, description="Seconds a client has to answer a ping.")
    graceful_timeout: int = Field(
        10, ge=0, description="Seconds open sockets have to end when the server is stopped."
    )
    drain_seconds: float = Field(
        5,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds of these over which many sockets are closed, a few at a time.",
    )


def source_of(name: str) -> str:
    """Say where a setting's value comes from: `environment`, `.env` or `default`."""
    variable = f"{PREFIX}{name.upper()}"
    if variable in _upper(os.environ):
        return "environment"
    if variable in _upper(dotenv_values(ENV_FILE)):
        return ENV_FILE
    return "default"


def unknown_variables() -> Iterator[tuple[str, str | None]]:
    """Find ITEMWIRE_ variables that are no setting, each with the setting it may have meant."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    present = _upper(os.environ) | _upper(dotenv_values(ENV_FILE))
    for variable in sorted(present):
        if variable.startswith(PREFIX) and variable not in known | CLIENT_VARIABLES:
            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.8)
            yield variable, close[0] if close else None


def _upper(names: Iterable[str]) -> set[str]:
    return {name.upper() for name in names}
