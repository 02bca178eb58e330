"""Makes the server's FastAPI application; importing this does nothing."""

import time
from collections.abc import Callable

from fastapi import FastAPI

from itemwire.application import ChannelApplication
from itemwire.assembly import Assembly, assemble
from itemwire.authorization.routes import add_sockets
from itemwire.middleware.admission import Admission
from itemwire.middleware.cross_origin import CrossOrigin, named_origins
from itemwire.middleware.draining import RefuseWhileDraining
from itemwire.middleware.head_requests import HeadRequests
from itemwire.middleware.no_store import NoStore
from itemwire.middleware.refusals import Refusals
from itemwire.middleware.request_bounds import RequestBounds
from itemwire.middleware.require_start import RequireStart
from itemwire.middleware.require_tls import RequireTLS
from itemwire.middleware.startup_errors import StartupErrors
from itemwire.observability.logs import redact_logs
from itemwire.responses.openapi import describe_problems
from itemwire.responses.rejections import install_rejections
from itemwire.routes import (
    asyncapi,
    auth,
    batches,
    client,
    console,
    echo,
    events,
    health,
    items,
    many_items,
    messages,
)
from itemwire.rules.grants import RuleGrants
from itemwire.rules.public_items import PublicItems
from itemwire.settings import Settings
from itemwire.variables import read_settings
from itemwire_auth.dependencies import SHORT_CUTS, authorize_item


def create_app(
    settings: Settings | None = None, *, clock: Callable[[], float] = time.time
) -> FastAPI:
    """Make an application of its own, with settings from the environment unless given.

    `clock` returns Unix time; a test may pass one that it moves (`itemwire.testing.Clock`).

    Raises `KeyProblem` or `ValueError`, saying what to do, where it must not run as configured.
    """
    redact_logs()
    assembly = assemble(settings or read_settings(), clock=clock)
    app = application_with(assembly)
    if assembly.settings.channels_file is not None:
        app.seams = {authorize_item: RuleGrants(assembly.rules)}
    return app


def application_with(
    assembly: Assembly, *, has_users: bool = False, has_operators: bool = False
) -> ChannelApplication:
    """Make the application that serves with these parts, alone or inside a host application.

    A host that `has_users` of its own has sessions of its own, too. One that `has_operators` is
    administered, whatever the settings say.
    """
    # The stock documentation pages load their scripts from elsewhere.
    app = ChannelApplication(
        title="Itemwire",
        lifespan=assembly.lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirection would repeat a token of the query in its Location
    )
    of_item = (items.item_channel, events.item_events)
    of_many = (many_items.many_items,)
    assembly.install(app, PublicItems(assembly.rules, of_item=of_item, of_many=of_many))
    _add_middlewares(app, assembly)
    is_administered = assembly.settings.admin or has_operators
    if is_administered:
        assembly.node.overview.registry.keep_addresses()
    _add_routes(app, assembly.settings, is_administered=is_administered)
    describe_problems(app)
    if not has_users:
        app.include_router(auth.session_router)
    return app


def _add_middlewares(app: ChannelApplication, assembly: Assembly) -> None:
    """Add what every request passes on its way in, the innermost first."""
    settings = assembly.settings
    # A slot is taken last, so that a client refused by an outer middleware is never counted.
    app.add_middleware(Admission, slots=assembly.slots)
    if settings.require_tls:
        app.add_middleware(RequireTLS)
    app.add_middleware(RefuseWhileDraining, node=assembly.node)
    app.add_middleware(RequireStart, node=assembly.node)
    app.add_middleware(RequestBounds)
    app.add_middleware(HeadRequests)
    install_rejections(app)
    # Gives the refusals of all those above, and of the routes, the form that was configured.
    app.add_middleware(Refusals, form=settings.refusal, counters=assembly.counters.handshakes)
    # Outside of the refusals, which answer a credential in a query as well.
    app.add_middleware(NoStore)
    origins = named_origins(settings.allowed_origins)
    if origins:  # outside of the refusals, which their pages have to be able to read
        app.add_middleware(CrossOrigin, origins=origins)
    # Has to do with the lifespan alone.
    app.add_middleware(StartupErrors)


def _add_routes(app: ChannelApplication, settings: Settings, *, is_administered: bool) -> None:
    for group in (items, many_items, echo):
        add_sockets(app, group.router, SHORT_CUTS)
    for group in (health, auth, console, client, asyncapi, messages, batches, events):
        app.include_router(group.router)
    # Loaded where they are served.
    if is_administered:
        from itemwire.routes import admin  # noqa: PLC0415

        app.include_router(admin.router)
        app.include_router(admin.page_router)
        add_sockets(app, admin.socket_router, SHORT_CUTS)
    if settings.metrics_token is not None:
        from itemwire.routes import metrics  # noqa: PLC0415

        app.include_router(metrics.router)
