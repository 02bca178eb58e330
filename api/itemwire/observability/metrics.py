"""Everything that `/metrics` tells: one row a metric, read when somebody asks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.node import Node
from itemwire.close_reasons import CLOSE_REASONS
from itemwire.counters import GONE, OTHER, Counters, MetricHistogram
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

# What tells the codecs apart: `json`, `plain`, and `events` for streams over HTTP.
CODEC_LABELS: Final = {
    **{subprotocol: subprotocol.rpartition(".")[2] for subprotocol in CODECS},
    EventsCodec.subprotocol: "events",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What an application is made of, where numbers are kept."""

    node: Node
    counters: Counters
    authenticator: Authenticator
    policy: Policy
    slots: ConnectionSlots


@dataclass(frozen=True, slots=True)
class Row:
    """One metric: what it is called and means, and where its values are."""

    kind: Kind
    name: str
    labels: Labels
    meaning: str
    read: Callable[[Parts], Values]

    @property
    def full_name(self) -> str:
        """Give its name on the page."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


def _one(kind: Kind, name: str, meaning: str, read: Callable[[Parts], Value]) -> Row:
    """Make the row of a metric without labels."""
    return Row(kind, name, (), meaning, lambda parts: [((), read(parts))])


def _by_codec(counts: Mapping[str, int]) -> Values:
    """Give the counts by the end of the subprotocol's name, which is what tells it apart."""
    return [((label,), counts.get(one, 0)) for one, label in CODEC_LABELS.items()]


def _by_word(counts: Mapping[str, int], *words: str) -> Values:
    """Give each word's count; of those never counted 0, so that the first one makes a rate."""
    return [((word,), counts.get(word, 0)) for word in words]


def _ended(parts: Parts) -> Values:
    """Tell ends by reason and code; a reason of the registry has one code."""
    none = {(row.reason, row.code): 0 for row in CLOSE_REASONS.values()}
    for (reason, code), count in {**none, **parts.counters.channels.ended}.items():
        yield (reason, str(code or OTHER)), count


def _limited(parts: Parts) -> Values:
    rates = parts.node.rates
    return [((kind.name.lower(),), rates.refused[kind] if rates else 0) for kind in RequestKind]


def _crowded_out(parts: Parts) -> Values:
    refused = {**parts.slots.refused, **parts.slots.handshake_rate.refused}
    return _by_word(refused, *refused)


def _of_engine(parts: Parts, name: Literal["errors", "pending", "seconds"]) -> Values:
    return [
        ((operation,), getattr(counters, name))
        for operation, counters in parts.counters.engine.items()
    ]


def _of_policy(parts: Parts, name: Literal["asked", "failed"]) -> int:
    return getattr(parts.policy, name) if isinstance(parts.policy, PolicyURL) else 0


def _of_tickets(parts: Parts, name: Literal["made", "used"]) -> int:
    tickets = parts.authenticator.tickets
    return getattr(tickets.counts, name) if tickets else 0


ROWS: Final = (
    Row(
        "gauge",
        "connections",
        ("codec",),
        "Sockets that are open.",
        lambda parts: _by_codec(parts.counters.channels.open),
    ),
    Row(
        "counter",
        "connections_opened",
        ("codec",),
        "Sockets that were opened.",
        lambda parts: _by_codec(parts.counters.channels.opened),
    ),
    Row(
        "counter",
        "connections_ended",
        ("reason", "code"),
        f"Sockets that ended, by reason. `{GONE}`: the client or the server's end of the socket; "
        "the close code says how.",
        _ended,
    ),
    _one(
        "counter",
        "handshakes_accepted",
        "Handshakes that were let in.",
        lambda parts: parts.counters.handshakes.accepted,
    ),
    Row(
        "counter",
        "handshakes_refused",
        ("reason",),
        f"Handshakes that were refused. `{OTHER}`: a reason of the application, or no such route.",
        lambda parts: _by_word(parts.counters.handshakes.refused, *CLOSE_REASONS, OTHER),
    ),
    _one(
        "histogram",
        "handshake_seconds",
        "From a handshake's request to its answer, refusals that are held back included.",
        lambda parts: parts.counters.handshakes.seconds,
    ),
    _one(
        "gauge", "channels", "Channels that somebody hears here.", lambda parts: parts.node.channels
    ),
    _one(
        "gauge",
        "subscriptions",
        "Subscriptions of all sockets.",
        lambda parts: parts.counters.channels.subscriptions,
    ),
    _one(
        "counter",
        "messages_published",
        "Messages that were stored for clients of this process; a repeated key counts again.",
        lambda parts: parts.counters.engine["publish"].done,
    ),
    _one(
        "counter",
        "messages_delivered",
        "Live messages times the subscribers they were sent to, at once or by way of an outbox.",
        lambda parts: parts.counters.channels.delivered,
    ),
    _one(
        "counter",
        "messages_replayed",
        "Messages of the past that subscribers got as they joined.",
        lambda parts: parts.counters.channels.replayed,
    ),
    _one(
        "counter",
        "messages_dropped",
        "Messages that subscribers who read slowly go without; a `gap` tells them.",
        lambda parts: parts.node.connection_log.dropped,
    ),
    _one(
        "histogram",
        "fan_out_seconds",
        "Writing what one tick of the event loop sends, to all subscribers of all channels.",
        lambda parts: parts.counters.channels.fan_out,
    ),
    _one(
        "gauge",
        "slow_connections",
        "Sockets with something in their outbox.",
        lambda parts: parts.node.connection_log.behind[0],
    ),
    _one(
        "gauge",
        "outbox_bytes",
        "Bytes in all outboxes, less replays.",
        lambda parts: parts.node.connection_log.behind[1],
    ),
    Row(
        "counter",
        "requests_limited",
        ("kind",),
        "Requests on sockets that were refused for their rate.",
        _limited,
    ),
    Row(
        "counter",
        "connections_limited",
        ("limit",),
        "Handshakes that were refused for the number of sockets (in all, of an address, a subject) "
        "or for coming too often (`rate` in all, `address_rate`).",
        _crowded_out,
    ),
    Row(
        "counter",
        "refreshes",
        ("outcome",),
        "Tokens that were offered on open sockets.",
        lambda parts: _by_word(parts.counters.channels.refreshes, "accepted", "refused"),
    ),
    Row(
        "histogram",
        "engine_seconds",
        ("operation",),
        "From asking the engine to its answer.",
        lambda parts: _of_engine(parts, "seconds"),
    ),
    Row(
        "counter",
        "engine_errors",
        ("operation",),
        "Answers of the engine that were errors.",
        lambda parts: _of_engine(parts, "errors"),
    ),
    Row(
        "gauge",
        "engine_pending",
        ("operation",),
        "What the engine was asked and has not answered yet.",
        lambda parts: _of_engine(parts, "pending"),
    ),
    _one(
        "gauge",
        "ready",
        "1 while sockets can be served: started, and the engine is there.",
        lambda parts: int(parts.node.is_ready),
    ),
    _one(
        "histogram",
        "event_loop_lag_seconds",
        "How late the event loop wakes up, looked at once a second.",
        lambda parts: parts.counters.channels.loop_lag,
    ),
    _one(
        "gauge",
        "revocations",
        "Revocations that are remembered.",
        lambda parts: parts.authenticator.revocations.count,
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
        "One-time tickets that were made here.",
        lambda parts: _of_tickets(parts, "made"),
    ),
    _one(
        "counter",
        "tickets_used",
        "One-time tickets that let somebody in here.",
        lambda parts: _of_tickets(parts, "used"),
    ),
    _one(
        "counter",
        "refusals_counted",
        "Refusals, over HTTP too, that count against an address or a subject.",
        lambda parts: parts.authenticator.throttle.counted,
    ),
    _one(
        "counter",
        "refusals_held_back",
        "Refusals that were answered late.",
        lambda parts: parts.authenticator.throttle.held_back,
    ),
    _one(
        "counter",
        "callers_blocked",
        "Callers that were refused with `rate_limited` before a token was looked at.",
        lambda parts: parts.authenticator.throttle.stopped,
    ),
    _one(
        "counter",
        "jwks_fetches",
        "Fetches of published keys, of all issuers.",
        lambda parts: sum(one.fetches for one in parts.authenticator.fetched_keys),
    ),
    _one(
        "counter",
        "jwks_failures",
        "Fetches of published keys that failed.",
        lambda parts: sum(one.failures for one in parts.authenticator.fetched_keys),
    ),
    _one(
        "gauge",
        "jwks_stale",
        "Issuers whose keys could not be fetched the last time.",
        lambda parts: sum(one.is_stale for one in parts.authenticator.fetched_keys),
    ),
    _one(
        "counter",
        "policy_questions",
        "Questions to the policy URL; what is remembered is not asked.",
        lambda parts: _of_policy(parts, "asked"),
    ),
    _one(
        "counter",
        "policy_failures",
        "Questions to the policy URL without a proper answer.",
        lambda parts: _of_policy(parts, "failed"),
    ),
)


def registry_of(parts: Parts) -> CollectorRegistry:
    """Make what one application's page is written from."""
    registry = CollectorRegistry()
    registry.register(_Rows(parts))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


class _Rows(Collector):
    """The rows, as the library reads them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without reading them."""
        return [_family(row) for row in ROWS]

    @override
    def collect(self) -> Iterable[Metric]:
        for row in ROWS:
            family = _family(row)
            for labels, value in row.read(self._parts):
                _add(family, labels, value)
            yield family


def _family(row: Row) -> Metric:
    return FAMILIES[row.kind](PREFIX + row.name, row.meaning, labels=row.labels)


FAMILIES: Final[dict[Kind, Callable[..., Metric]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def _add(family: Metric, labels: Labels, value: Value) -> None:
    if isinstance(family, HistogramMetricFamily) and isinstance(value, MetricHistogram):
        buckets = [
            (str(bound).replace("inf", "+Inf"), count) for bound, count in value.cumulative()
        ]
        family.add_metric(labels, buckets, value.total)
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily):
        family.add_metric(labels, cast("float", value))
