"""The table of metrics: a row for each, with its name, meaning and how to read it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.node import Node
from itemwire.close_reasons import CLOSE_REASONS
from itemwire.counters import GONE, OTHER, Counters, MetricHistogram
from itemwire.readiness import REASONS, state_of
from itemwire.wire import CODECS
from itemwire.wire.events_codec import EventsCodec
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.policies import Policy
from itemwire_auth.policy_url import PolicyURL

PREFIX: Final = "itemwire_"

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]
Value = float | MetricHistogram
Values = Iterable[tuple[Labels, Value]]


@dataclass(frozen=True, slots=True)
class MetricSources:
    """The sources of one application that hold the numbers."""

    node: Node
    counters: Counters
    authenticator: Authenticator
    policy: Policy
    slots: ConnectionSlots
    engine_parts: Callable[[], Mapping[str, bool]] = dict  # which servers of it are there


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric: its kind, name, labels and meaning, and a function that reads its values.

    `read` returns pairs of label values, in the order of `labels`, and a number or histogram.
    """

    kind: Kind
    name: str
    labels: Labels
    meaning: str
    read: Callable[[MetricSources], Values]

    @property
    def full_name(self) -> str:
        """Its name on the page of `/metrics`."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


def _one(kind: Kind, name: str, meaning: str, read: Callable[[MetricSources], Value]) -> MetricRow:
    """Return the row of a metric without labels."""
    return MetricRow(kind, name, (), meaning, lambda sources: [((), read(sources))])


def codec_labels() -> dict[str, str]:
    """Return the metric label of every codec, by its subprotocol.

    Raises `ValueError` where two codecs have the same label: a page that holds one series twice is
    invalid, and Prometheus drops all of it.
    """
    labels = {codec.subprotocol: codec.metric_label for codec in CODECS.values()}
    labels[EventsCodec.subprotocol] = EventsCodec.metric_label
    for label, count in Counter(labels.values()).items():
        if count > 1:
            sharing = ", ".join(name for name, one in labels.items() if one == label)
            raise ValueError(f"the codecs {sharing} share the metric label {label!r}: change one")
    return labels


def _by_codec(counts: Mapping[str, int]) -> Values:
    """Return the counts of each subprotocol under the label of its codec."""
    return [((label,), counts.get(one, 0)) for one, label in codec_labels().items()]


def _by_word(counts: Mapping[str, int], *words: str) -> Values:
    """Return each word's count, 0 if never counted: `rate()` needs a 0 before the first 1."""
    return [((word,), counts.get(word, 0)) for word in words]


def _ended(sources: MetricSources) -> Values:
    """Return the ended connections by reason and code, 0 for reasons that never occurred."""
    none = {(row.reason, row.code): 0 for row in CLOSE_REASONS.values()}
    for (reason, code), count in {**none, **sources.counters.channels.ended}.items():
        yield (reason, str(code or OTHER)), count


def _limited(sources: MetricSources) -> Values:
    rates = sources.node.rates
    return [((kind.name.lower(),), rates.refused[kind] if rates else 0) for kind in RequestKind]


def _over_the_limit(sources: MetricSources) -> Values:
    refused = {**sources.slots.refused, **sources.slots.handshake_rate.refused}
    return _by_word(refused, *refused)


def _of_engine(sources: MetricSources, name: Literal["errors", "pending", "seconds"]) -> Values:
    return [
        ((operation,), getattr(counters, name))
        for operation, counters in sources.counters.engine.items()
    ]


def _degraded(sources: MetricSources) -> Values:
    reason = state_of(sources.node, sources.authenticator).reason
    return [((one,), int(one == reason)) for one in REASONS]


def _of_policy(sources: MetricSources, name: Literal["asked", "failed"]) -> int:
    return getattr(sources.policy, name) if isinstance(sources.policy, PolicyURL) else 0


def _of_tickets(sources: MetricSources, name: Literal["made", "used"]) -> int:
    tickets = sources.authenticator.tickets
    return getattr(tickets.counts, name) if tickets else 0


METRICS: Final = (
    MetricRow(
        "gauge",
        "connections",
        ("codec",),
        "Open sockets.",
        lambda sources: _by_codec(sources.counters.channels.open),
    ),
    MetricRow(
        "counter",
        "connections_opened",
        ("codec",),
        "Sockets that were opened since the start.",
        lambda sources: _by_codec(sources.counters.channels.opened),
    ),
    MetricRow(
        "counter",
        "connections_ended",
        ("reason", "code"),
        f"Sockets that ended, by reason. `{GONE}`: the client closed or the connection was lost; "
        "the close code tells which.",
        _ended,
    ),
    _one(
        "counter",
        "handshakes_accepted",
        "Handshakes that were accepted.",
        lambda sources: sources.counters.handshakes.accepted,
    ),
    MetricRow(
        "counter",
        "handshakes_refused",
        ("reason",),
        f"Handshakes that were refused. `{OTHER}`: the application's own reason or no such path.",
        lambda sources: _by_word(sources.counters.handshakes.refused, *CLOSE_REASONS, OTHER),
    ),
    _one(
        "histogram",
        "handshake_seconds",
        "Time from a handshake's request to its answer, delayed refusals included.",
        lambda sources: sources.counters.handshakes.seconds,
    ),
    _one(
        "gauge",
        "channels",
        "Channels with at least one subscription on this process.",
        lambda sources: sources.node.channels,
    ),
    _one(
        "gauge",
        "subscriptions",
        "Subscriptions of all open sockets.",
        lambda sources: sources.counters.channels.subscriptions,
    ),
    _one(
        "gauge",
        "kept_handshake_bytes",
        "What is kept of the handshakes of open sockets, for dependencies that are asked again.",
        lambda sources: sources.counters.channels.kept_handshake_bytes,
    ),
    _one(
        "counter",
        "messages_published",
        "Messages stored for clients of this process; a repeated idempotency key counts again.",
        lambda sources: sources.counters.engine["publish"].done,
    ),
    _one(
        "counter",
        "messages_delivered",
        "Deliveries of live messages: each message counts once per subscriber it was sent to.",
        lambda sources: sources.counters.channels.delivered,
    ),
    _one(
        "counter",
        "messages_replayed",
        "Messages from the history that were sent to joining subscribers.",
        lambda sources: sources.counters.channels.replayed,
    ),
    _one(
        "counter",
        "messages_dropped",
        "Messages left out for slow consumers, which get a `gap` in their place.",
        lambda sources: sources.node.connection_log.dropped,
    ),
    _one(
        "histogram",
        "fan_out_seconds",
        "Time to write the messages of one turn of the event loop to all subscribers.",
        lambda sources: sources.counters.channels.fan_out,
    ),
    _one(
        "gauge",
        "slow_connections",
        "Sockets with unsent messages in their outbox.",
        lambda sources: sources.node.connection_log.behind[0],
    ),
    _one(
        "gauge",
        "outbox_bytes",
        "Bytes in all outboxes, without replays of history.",
        lambda sources: sources.node.connection_log.behind[1],
    ),
    MetricRow(
        "counter",
        "requests_limited",
        ("kind",),
        "Requests that were refused by a rate limit; `delivery`: publishes that reach too many.",
        _limited,
    ),
    MetricRow(
        "counter",
        "connections_limited",
        ("limit",),
        "Handshakes refused by a limit: on open sockets (in all, per address, per subject), or on "
        "handshakes a second (`rate` in all, `address_rate` per address).",
        _over_the_limit,
    ),
    MetricRow(
        "counter",
        "refreshes",
        ("outcome",),
        "Tokens offered on open sockets, by outcome.",
        lambda sources: _by_word(sources.counters.channels.refreshes, "accepted", "refused"),
    ),
    MetricRow(
        "histogram",
        "engine_seconds",
        ("operation",),
        "Time of an engine operation, from request to answer.",
        lambda sources: _of_engine(sources, "seconds"),
    ),
    MetricRow(
        "counter",
        "engine_errors",
        ("operation",),
        "Engine operations that failed.",
        lambda sources: _of_engine(sources, "errors"),
    ),
    MetricRow(
        "gauge",
        "engine_pending",
        ("operation",),
        "Engine operations without an answer yet.",
        lambda sources: _of_engine(sources, "pending"),
    ),
    MetricRow(
        "gauge",
        "engine_part_available",
        ("server",),
        "1 while this server of the engine is read and heard; only where each has its own items.",
        lambda sources: [
            ((name,), int(is_there)) for name, is_there in sources.engine_parts().items()
        ],
    ),
    _one(
        "gauge",
        "ready",
        "1 while the server is started, its engine is reachable, and it has a key of some issuer.",
        lambda sources: int(state_of(sources.node, sources.authenticator).is_served),
    ),
    MetricRow(
        "gauge",
        "degraded",
        ("fault",),
        "1 while the engine stores nothing for this reason, though it is read and heard, while one "
        "of its servers is away (`part_away`), or an issuer has given no key (`issuer_away`).",
        _degraded,
    ),
    _one(
        "histogram",
        "event_loop_lag_seconds",
        "Delay of the event loop, measured once a second.",
        lambda sources: sources.counters.channels.loop_lag,
    ),
    _one(
        "gauge",
        "revocations",
        "Revocations in memory.",
        lambda sources: sources.authenticator.revocations.count,
    ),
    _one(
        "counter",
        "notices_dropped",
        "Notices of other nodes that were dropped: unreadable, or no room for all they say.",
        lambda parts: parts.counters.channels.notices_dropped,
    ),
    _one(
        "counter",
        "tickets_made",
        "One-time tickets made by this process.",
        lambda sources: _of_tickets(sources, "made"),
    ),
    _one(
        "counter",
        "tickets_used",
        "One-time tickets accepted by this process.",
        lambda sources: _of_tickets(sources, "used"),
    ),
    _one(
        "counter",
        "refusals_counted",
        "Refusals, over HTTP too, that were counted against an address or a subject.",
        lambda sources: sources.authenticator.throttle.counted,
    ),
    _one(
        "counter",
        "refusals_held_back",
        "Refusals whose answer was delayed.",
        lambda sources: sources.authenticator.throttle.held_back,
    ),
    _one(
        "counter",
        "callers_blocked",
        "Callers refused with `rate_limited` before their token was verified.",
        lambda sources: sources.authenticator.throttle.stopped,
    ),
    _one(
        "counter",
        "jwks_fetches",
        "Fetches of JWK Sets, of all issuers.",
        lambda sources: sum(one.fetches for one in sources.authenticator.fetched_keys),
    ),
    _one(
        "counter",
        "jwks_failures",
        "Fetches of JWK Sets that failed.",
        lambda sources: sum(one.failures for one in sources.authenticator.fetched_keys),
    ),
    _one(
        "gauge",
        "jwks_stale",
        "Issuers whose last JWK Set fetch failed.",
        lambda sources: sum(one.is_stale for one in sources.authenticator.fetched_keys),
    ),
    _one(
        "counter",
        "policy_questions",
        "Requests to the policy URL; cached answers do not count.",
        lambda sources: _of_policy(sources, "asked"),
    ),
    _one(
        "counter",
        "policy_failures",
        "Requests to the policy URL without a valid answer.",
        lambda sources: _of_policy(sources, "failed"),
    ),
)
