"""The way of a handshake through the middlewares of an application, and of telemetry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from itemwire import create_app
from itemwire.application import LOOKS_AGAIN, TELEMETRY, ChannelApplication, way_of_sockets
from itemwire.middleware.no_store import NoStore
from itemwire.middleware.startup_errors import StartupErrors
from itemwire.settings import Settings
from tests.conftest import SECRET


class Own:
    """A middleware of the application's, which looks at all that comes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave a mark."""
        scope["mark"] = True
        await self.app(scope, receive, send)


class ServerErrorMiddleware(Own):
    """An application's own, which has the name of one of Starlette's."""


def the_application(*own: Callable[..., Any]) -> FastAPI:
    """Make the server's application, with middlewares of somebody else's around it."""
    given = {"secret": SECRET, "allowed_origins": ["https://a.example"]}
    app = create_app(Settings.model_validate(given))
    for one in own:
        app.add_middleware(one)
    return app


def entered_by_sockets(app: FastAPI) -> type:
    """Return the first middleware that a handshake passes, after the parts of the application."""
    return type(way_of_sockets(FastAPI.build_middleware_stack(app)))


def test_a_handshake_passes_nothing_that_has_to_do_with_http_alone() -> None:
    """On each version of FastAPI, whatever it puts around the application's middlewares."""
    assert entered_by_sockets(the_application()) is NoStore


@pytest.mark.parametrize("own", [Own, ServerErrorMiddleware])
def test_a_handshake_passes_each_middleware_of_the_applications_own(own: type) -> None:
    """And all that it has put inside of that."""
    assert entered_by_sockets(the_application(own)) is own
    assert entered_by_sockets(the_application(StartupErrors, own)) is own
    assert way_of_sockets(own(StartupErrors(NoStore(FastAPI())))).__class__ is own


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note when FastAPI's telemetry is looked for, by a clock that the test moves."""
    pytest.importorskip("fastapi.telemetry", reason="this FastAPI records nothing")
    now = [100.0]
    monkeypatch.setattr("itemwire.application.monotonic", lambda: now[0])
    return now


def handshake(app: ChannelApplication) -> Scope:
    """Send a handshake, and return its scope as the application left it."""
    scope: Scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(_message: Message) -> None:
        """Take the answer."""

    asyncio.run(app(scope, receive, send))
    return scope


def test_telemetry_is_looked_for_once_a_second(looked: list[float]) -> None:
    """A provider that is set later is found within that time."""
    app, is_on = ChannelApplication(), [False]
    asked: list[float] = []

    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.close()

    class Telemetry:
        """In place of FastAPI's."""

        def enabled(self) -> bool:
            """Return whether a provider is set."""
            asked.append(looked[0])
            return is_on[0]

        async def __call__(self, *, app: ASGIApp, scope: Scope, **more: Any) -> None:  # noqa: ANN401
            """Trace a request."""
            more.pop("legacy_otel")
            scope["traced"] = True
            await app(scope, more["receive"], more["send"])

    app._native_telemetry = Telemetry()  # type: ignore[assignment]
    first, second = handshake(app), handshake(app)
    assert (first[TELEMETRY], second[TELEMETRY], asked) == (None, None, [100.0])

    is_on[0] = True
    looked[0] += LOOKS_AGAIN
    third = handshake(app)

    assert asked[:2] == [100.0, 101.0]
    assert third["traced"] is True
    assert TELEMETRY not in third
