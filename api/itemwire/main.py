"""Puts the application together; importing this does nothing."""

import time
from collections.abc import Callable

from fastapi import FastAPI

from itemwire.authorization.reauthorization import Reauthorizer
from itemwire.authorization.routes import add_sockets
from itemwire.authorization.ticket_store import EngineTickets
from itemwire.channels.limits.bounds import Lifetime, Limits
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.limits.handshakes import HandshakeRate
from itemwire.channels.limits.requests import rates_of
from itemwire.channels.limits.slow_consumers import parse_slow_consumers
from itemwire.channels.node import Node
from itemwire.counters import Counters
from itemwire.engines import UNSHARED, open_engine
from itemwire.engines.base import Bounds
from itemwire.engines.metered import MeteredEngine
from itemwire.lifespan import Beside, StartupErrors, lifespan_of
from itemwire.middleware.admission import Admission
from itemwire.middleware.draining import RefuseWhileDraining
from itemwire.middleware.no_store import NoStore
from itemwire.middleware.require_tls import RequireTLS
from itemwire.observability.logs import redact_logs
from itemwire.observability.metrics import MetricSources
from itemwire.observability.metrics_registry import registry_of
from itemwire.responses.rejections import install_rejections
from itemwire.routes import (
    admin,
    auth,
    batches,
    console,
    echo,
    events,
    health,
    items,
    many_items,
    messages,
    metrics,
)
from itemwire.settings import Settings
from itemwire.startup_checks import audit_settings
from itemwire.transports.sse_shutdown import Streams
from itemwire.wire.events_codec import EventCodecs
from itemwire_auth.dependencies import SHORT_CUTS, install_auth
from itemwire_auth.policy_url import PolicyURL
from itemwire_auth.settings import build_authenticator, build_policy, session_cookie


def create_app(
    settings: Settings | None = None, *, clock: Callable[[], float] = time.time
) -> FastAPI:
    """Make an application of its own, with settings from the environment unless given.

    `clock` gives Unix time; a test may pass one that it moves (`itemwire.testing.Clock`).

    Raises `KeyProblem` or `ValueError`, saying what to do, where it must not run as configured.
    """
    settings = settings or Settings()
    redact_logs()
    audit_settings(settings)
    bounds = Bounds(
        settings.history_size,
        settings.history_bytes,
        settings.history_seconds,
        settings.history_total_bytes,
    )
    limits = Limits(
        max_message_bytes=settings.max_message_bytes,
        outbox_bytes=settings.outbox_bytes,
        history_limit=settings.history_size,
        ping_interval=settings.ping_interval,
        items=settings.max_items,
        presence_limit=settings.presence_limit,
        presence_grace=settings.presence_grace,
        slow_consumers=parse_slow_consumers(settings.slow_consumers),
        unanswered=settings.max_in_flight,
        unanswered_bytes=settings.max_in_flight_bytes,
        channels=settings.max_channels,
        listeners=settings.max_item_connections,
    )
    lifetime = Lifetime(
        grace=settings.expiry_grace,
        warning=settings.expiry_warning_seconds,
        session=settings.max_session_seconds,
    )
    counters = Counters()
    engine = MeteredEngine(open_engine(settings.engine_url, bounds), counters.engine)
    authenticator = build_authenticator(settings, EngineTickets(engine), clock=clock)
    slots = ConnectionSlots(settings.connection_limits, HandshakeRate(settings.handshake_limits))
    node = Node(
        engine,
        limits,
        leeway=settings.leeway,
        lifetime=lifetime,
        revocations=authenticator.revocations,
        counters=counters.channels,
        clock=clock,
        drain_seconds=settings.drain_seconds,
        rates=rates_of(settings.rate_limits),
        is_shared=settings.engine_url.partition("://")[0] not in UNSHARED,
        slots=slots,
    )
    reauthorizer = Reauthorizer()
    beside: list[Beside] = [authenticator.running]
    policy = build_policy(settings)
    if isinstance(policy, PolicyURL):
        beside.append(lambda: policy)
    streams = Streams()
    beside.append(streams.running)
    beside.append(lambda: reauthorizer)  # last, so closed first: it asks the others
    # The stock documentation pages load their scripts from elsewhere.
    app = FastAPI(
        title="Itemwire", lifespan=lifespan_of(node, *beside), docs_url=None, redoc_url=None
    )
    app.state.node = node
    app.state.slots = slots
    app.add_middleware(Admission, slots=slots)  # first: within all the others
    app.state.reauthorizer = reauthorizer
    app.state.event_codecs = EventCodecs()
    app.state.streams = streams
    token = settings.metrics_token
    install_auth(
        app,
        authenticator,
        policy,
        cookie=session_cookie(settings, clock=clock),
        metrics_token=token.get_secret_value() if token else None,
    )
    if settings.require_tls:
        app.add_middleware(RequireTLS)
    app.add_middleware(
        RefuseWhileDraining, node=node
    )  # inside of the next, which gives refusals a form
    install_rejections(app, settings.refusal, counters.handshakes)
    app.add_middleware(NoStore)
    app.add_middleware(StartupErrors)
    for group in (items, many_items, echo):
        add_sockets(app, group.router, SHORT_CUTS)
    for group in (health, auth, console, messages, batches, events):
        app.include_router(group.router)
    if settings.admin:
        app.include_router(admin.router)
    if settings.metrics_token is not None:
        sources = MetricSources(node, counters, authenticator, policy, slots)
        app.state.metrics = registry_of(sources)
        app.state.worker_metrics = None  # set where there are several workers
        app.include_router(metrics.router)
    return app
