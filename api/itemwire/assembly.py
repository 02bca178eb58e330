"""Assembles the parts of one application from its settings.

`create_app` serves them as an application of its own. Nothing here needs one: the same parts could
serve inside a host application, with `install`, `lifespan` and the routers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final, Self
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from starlette.applications import Starlette

from itemwire.application import ChannelApplication
from itemwire.authorization.reauthorization import Reauthorizer
from itemwire.authorization.ticket_store import EngineTickets
from itemwire.channels.environment import Environment
from itemwire.channels.limits.bounds import Lifetime, Limits, NodeOptions
from itemwire.channels.limits.connections import ConnectionSlots, with_spare
from itemwire.channels.limits.handshakes import HandshakeRate
from itemwire.channels.limits.requests import build_request_rates
from itemwire.channels.limits.slow_consumers import parse_slow_consumers
from itemwire.channels.node import Node
from itemwire.counters import Counters
from itemwire.engines import UNSHARED, open_engine
from itemwire.engines.base import Engine
from itemwire.engines.metered import MeteredEngine
from itemwire.fastpath.connection_limit import STATE_KEY, ConnectionLimit
from itemwire.lifespan import Beside, lifespan_of
from itemwire.observability.metrics import MetricSources, codec_labels
from itemwire.observability.webhooks import Webhooks
from itemwire.ops.operations import Operations
from itemwire.rules.channels import ChannelRules, RuledBounds
from itemwire.rules.file import add_channels_of
from itemwire.rules.shared import share_rules
from itemwire.settings import Settings
from itemwire.startup_checks import audit_settings
from itemwire.transports.sse_shutdown import OpenStreams
from itemwire.wire.events_codec import EventCodecs
from itemwire_auth.addresses import site_finder
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.building import build_authenticator, build_policy, session_cookie
from itemwire_auth.cookies import SessionCookie
from itemwire_auth.forwarded import TrustedProxies
from itemwire_auth.policies import Policy
from itemwire_auth.policy_url import PolicyURL
from itemwire_auth.state import AUTH, Public, install_state

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from itemwire.observability.worker_metrics import WorkerMetrics

logger = logging.getLogger("itemwire.engines")

ASSEMBLY: Final = "itemwire.assembly"  # a key of the ASGI scope, which no client can set

RUNS_ALREADY: Final = (
    "these channels run already: include live.router once, or enter live.lifespan once, and not "
    "both; in tests, run an application in one server or TestClient at a time"
)


@dataclass
class Scrape:
    """The metrics that one scrape reads: those of this process, or of all workers."""

    new_registry: Callable[[], CollectorRegistry]
    workers: WorkerMetrics | None = None  # set where a supervisor runs several

    @cached_property
    def registry(self) -> CollectorRegistry:
        """Return the metrics of this process."""
        return self.new_registry()

    async def gather(self) -> CollectorRegistry:
        """Return the metrics of every worker that answers soon."""
        return self.registry if self.workers is None else await self.workers.gather()


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts of one application; `dependencies.assembly_of` finds them for its routes."""

    settings: Settings
    counters: Counters
    authenticator: Authenticator
    policy: Policy
    cookie: SessionCookie
    slots: ConnectionSlots
    connection_limit: ConnectionLimit
    engine: Engine
    node: Node
    reauthorizer: Reauthorizer
    event_codecs: EventCodecs
    streams: OpenStreams
    rules: ChannelRules
    shares_engine: bool  # with other processes
    scrape: Scrape
    webhooks: Webhooks | None
    operations: Operations

    @classmethod
    def of(cls, app: Starlette) -> Self:
        """Return the parts that `install` put into an application."""
        found: Self = app.state.itemwire
        return found

    def install(self, app: ChannelApplication, public: Public | None = None) -> None:
        """Make the routes and dependencies of an application use these parts."""
        app.state.itemwire = self
        token = self.settings.metrics_token
        install_state(
            app,
            self.authenticator,
            self.policy,
            cookie=self.cookie,
            metrics_token=token.get_secret_value() if token else None,
            info_claims=self.settings.shown_claims(),
            public=public,
        )
        app.parts = {ASSEMBLY: self, AUTH: app.state.auth}

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncGenerator[Mapping[str, object]]:
        """Run the parts for as long as the application runs.

        Raises RuntimeError if they run already: a node is started once.
        """
        if self.node.is_started:
            raise RuntimeError(RUNS_ALREADY)
        state = {STATE_KEY: self.connection_limit}
        running = _running.setdefault(asyncio.get_running_loop(), [])
        async with lifespan_of(self.node, *self._beside(), state=state)(app) as told:
            self._look_at_engine()
            if self.shares_engine:
                await share_rules(self.node, self.rules, self.settings.history_bounds)
            running.append(self)
            try:
                yield told
            finally:
                running.remove(self)

    def _look_at_engine(self) -> None:
        """Say which messages the engine will never take though the settings allow them."""
        most, allowed = self.engine.most_bytes, self.settings.max_message_bytes
        if most is not None and most < allowed:
            logger.warning("engine_takes_less most_bytes=%d max_message_bytes=%d", most, allowed)

    def _beside(self) -> list[Beside]:
        """List what is opened before the node, in order; it is closed after it, in reverse."""
        beside: list[Beside] = [self.authenticator.running]
        policy = self.policy
        if isinstance(policy, PolicyURL):
            beside.append(lambda: policy)
        webhooks = self.webhooks
        if webhooks is not None:
            beside.append(lambda: webhooks)
        beside.append(lambda: self.operations)
        beside.append(self.streams.running)
        beside.append(lambda: self.reauthorizer)  # closed first: what it runs asks the others
        return beside


_running: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, list[Assembly]]] = WeakKeyDictionary()


def running_assemblies() -> Sequence[Assembly]:
    """Return what runs on this event loop, in the order of the start.

    A server that runs an application it knows nothing of finds the channels in it by this, however
    they were put there.
    """
    return tuple(_running.get(asyncio.get_running_loop(), ()))


def assemble(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    needs_keys: bool = True,
    recheck_interval: float = 0,
    name: str = "",
) -> Assembly:
    """Make the parts of one application; nothing runs yet.

    An application with users of its own `needs_keys` only where its settings name some. With a
    `recheck_interval`, in seconds, callers are asked about again while their sockets are open. With
    a `name` they share the engine with others and meet none of them.

    Raises `KeyProblem` or `ValueError`, saying what to do, where it must not run as configured.
    """
    audit_settings(settings)
    counters = Counters()
    rules = ChannelRules()
    if settings.channels_file is not None:
        add_channels_of(settings.channels_file, rules, settings.max_message_bytes)
    bounds = RuledBounds(settings.history_bounds, rules)
    engine = MeteredEngine(open_engine(settings.engine_url, bounds, name), counters.engine)
    authenticator = build_authenticator(
        settings, EngineTickets(engine), clock=clock, needs_keys=needs_keys
    )
    policy = build_policy(settings)
    slots = ConnectionSlots(settings.connection_limits, HandshakeRate(settings.handshake_limits))
    is_shared = settings.engine_url.partition("://")[0] not in UNSHARED
    node = Node(
        engine,
        _limits(settings),
        NodeOptions(_lifetime(settings), settings.leeway, settings.drain_seconds, recheck_interval),
        environment=Environment(clock),
        revocations=authenticator.revocations,
        counters=counters.channels,
        rates=build_request_rates(settings.rate_limits),
        shared_slots=slots if is_shared else None,
        rules_of=rules.of_item,
    )
    webhooks = _webhooks(settings, clock)
    if webhooks is not None:
        node.connection_log.observers += (webhooks,)
    codec_labels()  # raises now, where every later page would be invalid
    measured = MetricSources(
        node, counters, authenticator, policy, slots, engine_parts=lambda: engine.parts
    )
    return Assembly(
        settings=settings,
        counters=counters,
        authenticator=authenticator,
        policy=policy,
        cookie=session_cookie(settings, clock=clock),
        slots=slots,
        connection_limit=_connection_limit(settings),
        engine=engine,
        node=node,
        reauthorizer=Reauthorizer(
            counters.channels, keeps_credentials=recheck_interval > 0 and not needs_keys
        ),
        event_codecs=EventCodecs(),
        streams=OpenStreams(),
        rules=rules,
        shares_engine=is_shared,
        scrape=Scrape(partial(_registry_of, measured)),
        webhooks=webhooks,
        operations=Operations(
            node,
            engine,
            counters,
            authenticator,
            engine_name=settings.engine_url.partition("://")[0],
            workers=settings.workers,
        ),
    )


def _registry_of(measured: MetricSources) -> CollectorRegistry:
    # With the Prometheus client library, which a server without a scrape does not need.
    from itemwire.observability.metrics_registry import registry_of  # noqa: PLC0415

    return registry_of(measured)


def _webhooks(settings: Settings, clock: Callable[[], float]) -> Webhooks | None:
    if settings.webhook_url is None:
        return None
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else ""
    return Webhooks(settings.webhook_url, secret, settings.webhook_events, clock=clock)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_message_bytes=settings.max_message_bytes,
        outbox_bytes=settings.outbox_bytes,
        history_limit=settings.history_size,
        ping_interval=settings.ping_interval,
        max_items=settings.max_items,
        presence_limit=settings.presence_limit,
        presence_grace=settings.presence_grace,
        slow_consumers=parse_slow_consumers(settings.slow_consumers),
        max_in_flight=settings.max_in_flight,
        max_in_flight_bytes=settings.max_in_flight_bytes,
        max_channels=settings.max_channels,
        max_subscribers=settings.max_item_connections,
    )


def _connection_limit(settings: Settings) -> ConnectionLimit:
    """Return the limit of TCP connections: more than sockets, so that those get a reason.

    Connections of a trusted proxy are those of many clients.
    """
    limits = settings.connection_limits
    exempt = (*limits.exempt, *TrustedProxies(settings.trusted_proxies).networks)
    return ConnectionLimit(
        with_spare(limits.total),
        with_spare(limits.per_address),
        site_finder(exempt),
    )


def _lifetime(settings: Settings) -> Lifetime:
    return Lifetime(
        grace=settings.expiry_grace,
        warning=settings.expiry_warning_seconds,
        session=settings.max_session_seconds,
    )
