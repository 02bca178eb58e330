"""The shop's application."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.embedding.shop import chat, errors, orders, users
from tests.embedding.shop.database import fill


class Named:
    """A plain ASGI middleware of the shop's: each scope names the shop."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] != "lifespan":
            scope["shop"] = "of-ann-and-ben"
        await self._app(scope, receive, send)


def create_shop(database: str) -> FastAPI:
    """Make the application of a shop with its database at this URL."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, object]]:
        engine = create_async_engine(database)
        await fill(engine)
        app.state.engine = engine
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        yield {"opened_at": time.time()}
        await engine.dispose()

    app = FastAPI(title="Shop", version="2", lifespan=lifespan)
    app.add_middleware(Named)

    @app.middleware("http")
    async def mark(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers["X-Shop"] = request.scope["shop"]
        return response

    errors.install(app)
    for part in (users, orders, chat):
        app.include_router(part.router)

    @app.get("/health/ready")
    async def ready(request: Request) -> dict[str, bool]:
        return {"opened": request.state.opened_at > 0}

    return app
