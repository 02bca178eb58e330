"""WebSocket routes whose dependencies are put together once, and not at each handshake.

FastAPI takes every dependency's signature apart again at each handshake once an application
overrides a single one: 1.4 ms where this takes 0.15. And what comes by `include_router` is matched
twice. The names imported here are FastAPI's own; its version is bounded in `pyproject.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.routing import APIWebSocketRoute, get_websocket_app, websocket_session
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from itemwire.authorization.deadline import Decisions

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]


def add_sockets(app: FastAPI, router: APIRouter, short_cuts: Overrides) -> None:
    """Put a router's WebSocket routes into an application.

    A short cut does in one call what a dependency and all below it do; it is taken on the routes
    of which the application overrides nothing.
    """
    app.router.routes.extend(
        SocketRoute(route, app, short_cuts)
        for route in router.routes
        if isinstance(route, APIWebSocketRoute)
    )


def socket_route_of(app: FastAPI, endpoint: Callable[..., Any]) -> SocketRoute:
    """Find the route of an endpoint that `add_sockets` has put into an application."""
    for route in app.router.routes:
        if isinstance(route, SocketRoute) and route.endpoint is endpoint:
            return route
    raise LookupError(f"{endpoint.__name__} is no socket of this application")


class SocketRoute(APIWebSocketRoute):
    """A route that heeds `app.dependency_overrides`, and looks at them again when they change."""

    def __init__(self, route: APIWebSocketRoute, app: FastAPI, short_cuts: Overrides) -> None:
        # Unaware of the application, FastAPI's part looks for no overrides.
        super().__init__(
            route.path, route.endpoint, name=route.name, dependencies=route.dependencies
        )
        # In a regular expression `$` lets a line break follow: `/ws/echo%0A` is no route of ours.
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + r"\Z")
        self._application = app
        self._short_cuts = short_cuts
        self._decisions = Decisions()
        self._declared = self.dependant
        self._apply({})

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._heed_overrides()
        await self._decisions.in_time(scope, super().handle(scope, receive, send))

    @property
    def application(self) -> FastAPI:
        """Give the application it is in."""
        return self._application

    @property
    def whole_dependant(self) -> Dependant:
        """Give what it depends on at this moment, overrides in place and no short cut taken."""
        self._heed_overrides()
        return self._whole

    def _heed_overrides(self) -> None:
        overrides = self._application.dependency_overrides
        if overrides != self._applied:
            self._apply(dict(overrides))

    def _apply(self, overrides: Overrides) -> None:
        is_altered = not overrides.keys().isdisjoint(_calls(self._declared))
        self._whole = _overridden(self._declared, overrides) if is_altered else self._declared
        self.dependant = self._whole
        if not is_altered:
            self.dependant = _overridden(self._declared, self._short_cuts)
        self.app = websocket_session(get_websocket_app(self.dependant))
        self._applied = overrides


def _calls(dependant: Dependant) -> Iterator[Any]:
    """List what is called for a dependant, in any depth."""
    yield dependant.call
    for below in dependant.dependencies:
        yield from _calls(below)


def _overridden(dependant: Dependant, overrides: Overrides) -> Dependant:
    """Copy a dependant, with other calls in place of those overridden below it."""
    return replace(
        dependant,
        dependencies=[
            _overridden(_in_place_of(below, overrides), overrides)
            for below in dependant.dependencies
        ],
    )


def _in_place_of(dependant: Dependant, overrides: Overrides) -> Dependant:
    """Give the dependant of the override, if there is one, as `solve_dependencies` makes it."""
    call = overrides.get(dependant.call) if dependant.call else None
    if call is None:
        return dependant
    required = [*(dependant.parent_oauth_scopes or ()), *(dependant.own_oauth_scopes or ())]
    instead = get_dependant(
        path=dependant.path or "",
        call=call,
        name=dependant.name,
        parent_oauth_scopes=list(dict.fromkeys(required)),
        scope=dependant.scope,
        concurrency=dependant.concurrency,
    )
    return replace(instead, use_cache=dependant.use_cache)
