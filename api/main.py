"""Puts the application together; importing this does nothing."""

import time
from collections.abc import Callable

from fastapi import FastAPI

from api.channels.limits import Limits
from api.channels.node import Node
from api.engines import open_engine
from api.engines.base import Bounds
from api.lifespan import lifespan_of
from api.logs import redact_logs
from api.rejections import install_rejections
from api.routes import console, echo, health, items
from api.settings import Settings
from api.sockets import add_sockets
from auth.dependencies import SHORT_CUTS, install_auth
from auth.settings import build_authenticator


def create_app(
    settings: Settings | None = None, *, clock: Callable[[], float] = time.time
) -> FastAPI:
    """Make an application of its own, with settings from the environment unless given.

    `clock` gives Unix time; a test may pass one that it moves (`api.testing.Clock`).

    Raises `KeyProblem` or `ValueError`, saying what to do, where it must not run as configured.
    """
    settings = settings or Settings()
    redact_logs()
    bounds = Bounds(settings.history_size, settings.history_bytes, settings.history_seconds)
    limits = Limits(
        max_message_bytes=settings.max_message_bytes,
        outbox_bytes=settings.outbox_bytes,
        history_limit=settings.history_size,
        ping_interval=settings.ping_interval,
    )
    engine = open_engine(settings.engine_url, bounds)
    node = Node(engine, limits, leeway=settings.leeway, clock=clock)
    # The stock documentation pages load their scripts from elsewhere.
    app = FastAPI(title="Itemwire", lifespan=lifespan_of(node), docs_url=None, redoc_url=None)
    app.state.node = node
    install_auth(app, build_authenticator(settings, clock))
    install_rejections(app, settings.refusal)
    for group in (items, echo):
        add_sockets(app, group.router, SHORT_CUTS)
    for group in (health, console):
        app.include_router(group.router)
    return app
