"""Every setting of the server: its default, its unit, and where its value came from."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from itemwire.channels.limits.bounds import RateLimits
from itemwire.channels.limits.connections import ConnectionLimits, max_sockets
from itemwire.channels.limits.handshakes import HandshakeLimits
from itemwire.channels.limits.slow_consumers import parse_slow_consumers
from itemwire_auth.addresses import parse_networks
from itemwire_auth.settings import AuthSettings, CommaSeparated

PREFIX: Final = "ITEMWIRE_"
ENV_FILE: Final = ".env"
MAX_WORKERS: Final = 256

_TOKEN: Final = re.compile(r"[!-~]+")
PerSecond = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# Read by the command line's clients, not by the server.
CLIENT_VARIABLES: Final = frozenset({"ITEMWIRE_TOKEN", "ITEMWIRE_URL"})

RENAMED: Final = {
    "ITEMWIRE_SLOW_READERS": "ITEMWIRE_SLOW_CONSUMERS",
    "ITEMWIRE_MAX_UNANSWERED": "ITEMWIRE_MAX_IN_FLIGHT",
    "ITEMWIRE_MAX_UNANSWERED_BYTES": "ITEMWIRE_MAX_IN_FLIGHT_BYTES",
}
"""What settings of earlier versions are called now."""


def _checked_rules(text: str) -> str:
    parse_slow_consumers(text)
    return text


SlowConsumerRules = Annotated[str, AfterValidator(_checked_rules)]


class Settings(AuthSettings):
    """Settings of the server; each is read from ITEMWIRE_<NAME> or a `.env` file beside it."""

    model_config = SettingsConfigDict(env_file=ENV_FILE)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(
        1,
        ge=1,
        le=MAX_WORKERS,
        description="Processes of `itemwire serve` on this port; more than one need an engine that "
        "shares. Unset: as many as WEB_CONCURRENCY says, where the engine shares.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is logged. No level logs a credential."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or one JSON object a line."
    )
    trusted_proxies: CommaSeparated = Field(
        ("127.0.0.1",),
        description="Addresses whose X-Forwarded-For and -Proto are believed.",
    )
    require_tls: bool = Field(
        False,
        description="Refuse what does not come by https or wss, by the word of the server or of a "
        "trusted proxy; `/health/` alone answers all the same.",
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
    metrics_token: SecretStr | None = Field(
        None,
        min_length=32,
        description="Serve `/metrics` for Prometheus, to who sends this as its bearer token: at "
        "least 32 printable characters of ASCII.",
    )
    engine_url: str = Field(
        "memory://",
        description="Where channels live: `memory://`, or a file, `sqlite:///relative.db` or "
        "`sqlite:////absolute.db`, or Redis: `redis://`, `rediss://`, `redis+cluster://`, "
        "or PostgreSQL: `postgresql://`.",
    )
    history_size: int = Field(100, ge=0, description="Messages remembered per item.")
    history_bytes: int = Field(1_048_576, ge=0, description="Bytes of payload remembered per item.")
    history_seconds: float = Field(300, ge=0, description="Seconds a message is remembered.")
    history_total_bytes: int = Field(
        512 * 1_048_576,
        ge=0,
        description="Bytes that all histories together may take with `memory://`; past it, items "
        "that nobody hears are forgotten, the longest idle first; 0 sets no limit.",
    )
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
        "with slow_consumer, unless ITEMWIRE_SLOW_CONSUMERS says otherwise.",
    )
    slow_consumers: SlowConsumerRules = Field(
        "disconnect",
        description="What happens then, by item: `telemetry:*=drop_oldest,*=disconnect`; the first "
        "pattern that matches counts, a word alone is for all items. `disconnect`, `drop_oldest` "
        "or `drop_newest`: messages are left out, and the client is told of the gap.",
    )
    max_in_flight: int = Field(
        10_000,
        ge=1,
        description="Messages that the engine may have to store at a time; past it, publishing is "
        "refused with overloaded. One socket may have a tenth of them.",
    )
    max_in_flight_bytes: int = Field(
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
    publish_rate: PerSecond = Field(
        10_000, description="Messages a second that one socket may publish; 0 sets no limit."
    )
    bytes_rate: PerSecond = Field(
        16_777_216, description="Bytes a second that one socket may send; 0 sets no limit."
    )
    join_rate: PerSecond = Field(
        200, description="Items a second that one socket at `/ws` may join; 0 sets no limit."
    )
    history_rate: PerSecond = Field(
        50, description="Times a second that one socket may read history; 0 sets no limit."
    )
    request_rate: PerSecond = Field(
        1000, description="Other requests and pings a second of one socket; 0 sets no limit."
    )
    subject_rate_factor: float = Field(
        4,
        ge=0,
        allow_inf_nan=False,
        description="How many times these rates all sockets of one subject may have together; 0 "
        "sets no limit.",
    )
    address_handshake_rate: PerSecond = Field(
        500,
        description="Handshakes a second of one address; past it, rate_limited. Those of "
        "`throttle_exempt` are not counted; 0 sets no limit.",
    )
    handshake_rate: PerSecond = Field(
        0,
        description="Handshakes a second in all; past it, overloaded, so that who is served "
        "already does not wait for those who come; 0 sets no limit.",
    )
    max_connections: int | None = Field(
        None,
        ge=0,
        description="Sockets in all; 0 sets no limit. By default, as many as there may be open "
        "files, less some to spare.",
    )
    max_address_connections: int = Field(
        0,
        ge=0,
        description="Sockets of one address; 0 sets no limit. Those of `throttle_exempt` are not "
        "counted.",
    )
    max_subject_connections: int = Field(
        0,
        ge=0,
        description="Sockets of one subject, on all nodes of a shared engine; 0 sets no limit.",
    )
    max_channels: int = Field(
        200_000, ge=0, description="Items that may be heard on one node; 0 sets no limit."
    )
    max_item_connections: int = Field(
        100_000,
        ge=0,
        description="Sockets that may hear one item on one node, which are its members; 0 sets no "
        "limit.",
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_names(cls, values: object) -> object:
        """Refuse to start with the old name of a setting: its value would have no effect."""
        for variable in sorted(_set_variables() & RENAMED.keys()):
            raise ValueError(f"{variable} is called {RENAMED[variable]} now: rename it")
        return values

    @property
    def rate_limits(self) -> RateLimits:
        """Give what one socket may ask a second."""
        return RateLimits(
            publish=self.publish_rate,
            join=self.join_rate,
            history=self.history_rate,
            request=self.request_rate,
            bytes=self.bytes_rate,
            subject_factor=self.subject_rate_factor,
            join_burst=self.max_items,
        )

    @property
    def handshake_limits(self) -> HandshakeLimits:
        """Give how often sockets may come."""
        return HandshakeLimits(
            total=self.handshake_rate,
            per_address=self.address_handshake_rate,
            exempt=parse_networks(self.throttle_exempt),
        )

    @property
    def connection_limits(self) -> ConnectionLimits:
        """Give how many sockets there may be."""
        return ConnectionLimits(
            total=max_sockets() if self.max_connections is None else self.max_connections,
            per_address=self.max_address_connections,
            per_subject=self.max_subject_connections,
            exempt=parse_networks(self.throttle_exempt),
        )

    @field_validator("metrics_token")
    @classmethod
    def _fits_into_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        """Refuse what no client could send as it is."""
        if token is not None and _TOKEN.fullmatch(token.get_secret_value()) is None:
            raise ValueError(
                "it holds white space, a line break at its end perhaps, or what is not ASCII"
            )
        return token


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
    for variable in sorted(_set_variables() - known - CLIENT_VARIABLES - RENAMED.keys()):
        if variable.startswith(PREFIX):
            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.8)
            yield variable, close[0] if close else None


def _set_variables() -> set[str]:
    return _upper(os.environ) | _upper(dotenv_values(ENV_FILE))


def _upper(names: Iterable[str]) -> set[str]:
    return {name.upper() for name in names}
