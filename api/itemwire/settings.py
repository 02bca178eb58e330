"""The settings of the server: defaults, units, limits, and the source of each value."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from itemwire.channels.limits.bounds import RateLimits
from itemwire.channels.limits.connections import ConnectionLimits, max_sockets
from itemwire.channels.limits.handshakes import HandshakeLimits
from itemwire.channels.limits.slow_consumers import parse_slow_consumers
from itemwire.engines.base import Bounds
from itemwire.listening_settings import ListeningSettings
from itemwire_auth.addresses import parse_networks
from itemwire_auth.environment import Variables, read_environment
from itemwire_auth.settings import (
    CommaSeparated,
    Count,
    PerSecond,
    Seconds,
    WholeSeconds,
)

PREFIX: Final = "ITEMWIRE_"
ENV_FILE: Final = ".env"
MAX_WORKERS: Final = 256

_TOKEN: Final = re.compile(r"[!-~]+")
_LEAST_TOKEN: Final = 32  # characters

RENAMED: Final = {
    "ITEMWIRE_SLOW_READERS": "ITEMWIRE_SLOW_CONSUMERS",
    "ITEMWIRE_MAX_UNANSWERED": "ITEMWIRE_MAX_IN_FLIGHT",
    "ITEMWIRE_MAX_UNANSWERED_BYTES": "ITEMWIRE_MAX_IN_FLIGHT_BYTES",
}
"""Settings of earlier versions, with their present names."""


def _checked_rules(text: str) -> str:
    parse_slow_consumers(text)
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


AnyCase: Final = BeforeValidator(_lower)
"""Of a setting that is one of a few words: `INFO` is `info`."""

SlowConsumerRules = Annotated[str, AfterValidator(_checked_rules)]


class Settings(ListeningSettings):
    """Settings of the server, each read from ITEMWIRE_<NAME> in the environment or `.env`."""

    # pydantic-settings reads the file as well, for nobody, and must not fail at its encoding.
    model_config = SettingsConfigDict(env_file=ENV_FILE, env_file_encoding="latin-1")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Count = Field(
        default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    workers: Count = Field(
        default=1,
        ge=1,
        le=MAX_WORKERS,
        description="Number of processes of `itemwire serve`. With `memory://` and `sqlite://`, "
        "more than one share one more process, which has the engine. If unset and the engine is "
        "one that servers share, WEB_CONCURRENCY is used.",
    )
    share_engine: bool = Field(
        default=False,
        description="Whether the workers of `itemwire serve` reach an engine on a server by one "
        "process of theirs, which has one node's connections, however many they are. Those of "
        "`memory://` and `sqlite://` do so anyway.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = Field(
        default="info", description="How much is logged. Credentials are not logged at any level."
    )
    log_format: Annotated[Literal["text", "json"], AnyCase] = Field(
        default="text", description="`text` for reading, or `json` for one JSON object per line."
    )
    webhook_url: str | None = Field(
        default=None,
        description="The application's endpoint that is told who connects, joins and leaves.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="What signs these requests: `whsec_` and the base64 of 24 random bytes.",
    )
    webhook_events: CommaSeparated = Field(
        default=("joined", "left"),
        description="What it is told: `connected`, `disconnected`, `joined`, `left`.",
    )
    require_tls: bool = Field(
        default=False,
        description="Refuse what does not use TLS (wss, https), as seen by this server or reported "
        "by a trusted proxy. `/health/` is exempt.",
    )
    refusal: Annotated[Literal["close", "http"], AnyCase] = Field(
        default="close",
        description="How handshakes are refused: `close` accepts the socket and closes it with a "
        "code and a reason, which scripts in browsers can read; `http` answers with an HTTP status "
        "and a JSON body.",
    )
    admin: bool = Field(
        default=False,
        description="Serve `/admin`, which revokes tokens and lists and closes connections. Its "
        "callers need a bearer token with the word `admin` in its scope.",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description="Serve `/metrics` for Prometheus to callers that send this as a bearer token: "
        "at least 32 printable ASCII characters.",
    )
    engine_url: str = Field(
        default="memory://",
        description="Where channels and their history are stored: `memory://`; a file, "
        "`sqlite:///relative.db` or `sqlite:////absolute.db`; Redis or Valkey, `redis://`, "
        "`rediss://`, `valkey://`, `valkeys://`, `redis+cluster://`, `redis+sentinel://` or "
        "`unix://`, or several servers, `redis://a,b,c`; PostgreSQL, `postgresql://`; "
        "NATS JetStream, `nats://` or `tls://`.",
    )
    history_size: Count = Field(
        default=100, ge=0, description="Messages kept in the history of an item."
    )
    history_bytes: Count = Field(
        default=1_048_576, ge=0, description="Bytes of payload kept in the history of an item."
    )
    history_seconds: Seconds = Field(
        default=300, ge=0, description="Seconds for which a message is kept in the history."
    )
    history_total_bytes: Count = Field(
        default=512 * 1_048_576,
        ge=0,
        description="Bytes that the history of all items may use with `memory://`. Above that, "
        "items without subscribers are dropped, the longest unused first; 0 sets no limit.",
    )
    channels_file: Path | None = Field(
        default=None,
        description="A TOML file with rules for the items of patterns: a table for each pattern, "
        "such as `history`, `presence` or `echo`.",
    )
    max_message_bytes: Count = Field(
        default=65_536,
        ge=1,
        description="Largest message that a client may send, in bytes. A larger one closes its "
        "socket with 1009.",
    )
    max_items: Count = Field(
        default=100, ge=1, description="Items that one socket at `/ws` may be subscribed to."
    )
    presence_grace: Seconds = Field(
        default=5,
        ge=0,
        le=600,
        description="Seconds for which a member whose connection was lost is still shown as "
        "present; 0 announces the loss at once.",
    )
    presence_limit: Count = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="Members of an item that are listed and announced. Members above this number "
        "are only counted.",
    )
    outbox_bytes: Count = Field(
        default=1_048_576,
        ge=1,
        description="Bytes that may be queued for a client that reads too slowly. Above that, "
        "ITEMWIRE_SLOW_CONSUMERS says what happens.",
    )
    slow_consumers: SlowConsumerRules = Field(
        default="disconnect",
        description="What happens to a client that reads too slowly: `disconnect` closes its "
        "socket with slow_consumer; `drop_oldest` and `drop_newest` leave out messages and tell "
        "the client about the gap. One word for all items, or a list of patterns, of which the "
        "first match counts: `telemetry:*=drop_oldest,*=disconnect`.",
    )
    max_in_flight: Count = Field(
        default=10_000,
        ge=1,
        description="Messages that may be in flight to the engine at the same time. Above that, "
        "publishing is refused with overloaded. One socket may use a tenth of them.",
    )
    max_in_flight_bytes: Count = Field(
        default=67_108_864,
        ge=1,
        description="Bytes of messages that may be in flight to the engine at the same time. One "
        "socket may use a tenth of them.",
    )
    expiry_warning_seconds: WholeSeconds = Field(
        default=60,
        ge=0,
        description="Seconds before its token expires at which a client is warned with `expiring`; "
        "at the earliest, after half of the token's lifetime; 0 disables the warning.",
    )
    expiry_grace: Seconds = Field(
        default=0,
        ge=0,
        description="Seconds for which a socket stays open after its token has expired.",
    )
    max_session_seconds: WholeSeconds = Field(
        default=0,
        ge=0,
        description="Longest time that a socket may stay open, in seconds, however often its token "
        "is refreshed; 0 sets no limit.",
    )
    compression: bool = Field(
        default=False,
        description="Offer permessage-deflate. A message is compressed once for all its receivers, "
        "and sockets need no extra memory. The length of a compressed message reveals something "
        "of its content.",
    )
    ping_interval: Seconds = Field(
        default=20, gt=0, description="Seconds between pings to a client."
    )
    ping_timeout: Seconds = Field(
        default=20, gt=0, description="Seconds a client has to answer a ping."
    )
    graceful_timeout: WholeSeconds = Field(
        default=10,
        ge=0,
        description="Seconds in which open sockets are closed when the server stops.",
    )
    drain_seconds: Seconds = Field(
        default=5,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds of the graceful timeout over which sockets are closed in batches.",
    )
    publish_rate: PerSecond = Field(
        default=10_000,
        description="Messages a second that one socket may publish; 0 sets no limit.",
    )
    bytes_rate: PerSecond = Field(
        default=16_777_216, description="Bytes a second that one socket may send; 0 sets no limit."
    )
    join_rate: PerSecond = Field(
        default=200,
        description="Items a second that one socket at `/ws` may join; 0 sets no limit.",
    )
    history_rate: PerSecond = Field(
        default=50, description="Times a second that one socket may read history; 0 sets no limit."
    )
    request_rate: PerSecond = Field(
        default=1000,
        description="Other requests and pings a second of one socket; 0 sets no limit.",
    )
    subject_rate_factor: PerSecond = Field(
        default=4,
        ge=0,
        allow_inf_nan=False,
        description="All sockets of one subject on one node may together use these rates times "
        "this factor; 0 sets no limit.",
    )
    delivery_rate: PerSecond = Field(
        default=500_000,
        description="Deliveries a second that the messages of one subject may cause on one node; a "
        "message counts once for each subscriber there; 0 sets no limit.",
    )
    delivery_bytes_rate: PerSecond = Field(
        default=268_435_456,
        description="Bytes a second that the messages of one subject may have delivered on one "
        "node; 0 sets no limit.",
    )
    address_handshake_rate: PerSecond = Field(
        default=500,
        description="Handshakes a second of one address; above that, rate_limited. Addresses in "
        "`throttle_exempt` are exempt; 0 sets no limit.",
    )
    handshake_rate: PerSecond = Field(
        default=0,
        description="Handshakes a second in all; above that, overloaded, so that open sockets are "
        "served without delay while many clients connect; 0 sets no limit.",
    )
    max_connections: Count | None = Field(
        default=None,
        ge=0,
        description="Open sockets in all; 0 sets no limit. Unset: the process's limit of open "
        "files, minus a reserve.",
    )
    max_address_connections: Count = Field(
        default=0,
        ge=0,
        description="Open sockets of one address; 0 sets no limit. Addresses in `throttle_exempt` "
        "are exempt.",
    )
    max_subject_connections: Count = Field(
        default=0,
        ge=0,
        description="Open sockets of one subject, on all nodes that share an engine; 0 sets no "
        "limit.",
    )
    max_channels: Count = Field(
        default=200_000, ge=0, description="Items with subscribers on one node; 0 sets no limit."
    )
    max_item_connections: Count = Field(
        default=100_000,
        ge=0,
        description="Sockets that may be subscribed to one item on one node; 0 sets no limit.",
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_names(cls, values: object) -> object:
        """Refuse to start with the old name of a setting: its value would have no effect."""
        for variable in sorted(set_variables().values.keys() & RENAMED.keys()):
            raise ValueError(f"{variable} is called {RENAMED[variable]} now: rename it")
        return values

    @property
    def history_bounds(self) -> Bounds:
        """How much history an item keeps."""
        return Bounds(
            self.history_size,
            self.history_bytes,
            self.history_seconds,
            self.history_total_bytes,
        )

    @property
    def rate_limits(self) -> RateLimits:
        """The rate limits of one socket."""
        return RateLimits(
            publish=self.publish_rate,
            join=self.join_rate,
            history=self.history_rate,
            request=self.request_rate,
            bytes=self.bytes_rate,
            subject_factor=self.subject_rate_factor,
            join_burst=self.max_items,
            deliveries=self.delivery_rate,
            delivered_bytes=self.delivery_bytes_rate,
        )

    @property
    def handshake_limits(self) -> HandshakeLimits:
        """The limits of handshakes a second."""
        return HandshakeLimits(
            total=self.handshake_rate,
            per_address=self.address_handshake_rate,
            exempt=parse_networks(self.throttle_exempt),
        )

    @property
    def connection_limits(self) -> ConnectionLimits:
        """The limits of open sockets."""
        return ConnectionLimits(
            total=max_sockets() if self.max_connections is None else self.max_connections,
            per_address=self.max_address_connections,
            per_subject=self.max_subject_connections,
            exempt=parse_networks(self.throttle_exempt),
        )

    @field_validator("metrics_token")
    @classmethod
    def _fits_into_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        """Refuse a token that a client could not send in a header, or that is easy to guess."""
        if token is not None and len(token.get_secret_value()) < _LEAST_TOKEN:
            raise ValueError(
                f"has {len(token.get_secret_value())} characters, of at least {_LEAST_TOKEN}: make "
                "a random one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        if token is not None and _TOKEN.fullmatch(token.get_secret_value()) is None:
            raise ValueError(
                "may hold printable ASCII characters only: no white space, no line break at its end"
            )
        return token


def set_variables() -> Variables:
    """Return the variables of the environment and `.env`, and what was changed about them."""
    return read_environment(Settings, Path(ENV_FILE))
