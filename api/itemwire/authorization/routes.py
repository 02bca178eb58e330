"""WebSocket routes that put their dependencies together once, and not at each handshake.

FastAPI inspects the signature of every dependency anew at each handshake once an application
overrides a single one: 1.4 ms where this takes 0.15. And it matches routes that came by
`include_router` twice.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIWebSocketRoute
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from itemwire.application import ChannelApplication
from itemwire.authorization.deadline import DecisionDeadlines
from itemwire.authorization.inputs import Inputs
from itemwire.authorization.solving import (
    Dependant,
    Overrides,
    calls_of,
    inputs_of,
    socket_app_of,
    with_overrides,
)
from itemwire_auth.dependencies import authorize_item, current_principal, permitted, valid_item_id

CREDENTIAL_READERS: Final[frozenset[Callable[..., Any]]] = frozenset(
    {current_principal, valid_item_id, authorize_item, permitted}
)
"""Dependencies that are given a connection, and read no more of it than a credential."""


ShortCuts = Mapping[Callable[..., Any], Callable[[Overrides], Callable[..., Any]]]
"""By a dependency: what makes a shortcut for it from the application's own seams."""


def add_sockets(app: ChannelApplication, router: APIRouter, shortcuts: ShortCuts) -> None:
    """Add a router's WebSocket routes to an application.

    A shortcut does in one call what a dependency and all those below it do. It is taken on routes
    where nothing but `app.seams` stands in place of a dependency.
    """
    app.router.routes.extend(
        SocketRoute(route, app, shortcuts)
        for route in router.routes
        if isinstance(route, APIWebSocketRoute)
    )


def socket_route_of(app: ChannelApplication, endpoint: Callable[..., Any]) -> "SocketRoute":
    """Return the route that `add_sockets` made for an endpoint; LookupError without one."""
    for route in app.router.routes:
        if isinstance(route, SocketRoute) and route.endpoint is endpoint:
            return route
    raise LookupError(f"{endpoint.__name__} is no socket of this application")


class SocketRoute(APIWebSocketRoute):
    """A route that is put together anew when `app.dependency_overrides` change.

    It has three dependants: `declared` by the endpoint's signature, `whole` with the overrides in
    place, and `dependant`, which a handshake uses and which may take shortcuts.
    """

    def __init__(
        self, route: APIWebSocketRoute, app: ChannelApplication, shortcuts: ShortCuts
    ) -> None:
        # FastAPI's constructor is told of no application, so it looks for no overrides.
        super().__init__(
            route.path, route.endpoint, name=route.name, dependencies=route.dependencies
        )
        # In a regular expression `$` also matches before a final line break: `/ws/echo%0A` is no
        # route of ours.
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + r"\Z")
        self._application = app
        self._shortcuts = shortcuts
        self._deadlines = DecisionDeadlines()
        self._declared = self.dependant
        self._apply({})

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._follow_overrides()
        await self._deadlines.enforce(scope, send, super().handle(scope, receive, send))

    @property
    def application(self) -> ChannelApplication:
        """Return the application that the route is in."""
        return self._application

    @property
    def declared(self) -> Dependant:
        """Return what the route depends on by its own signature: no override, no shortcut."""
        return self._declared

    @property
    def whole(self) -> Dependant:
        """Return what the route depends on at this moment: overrides, but no shortcut."""
        self._follow_overrides()
        return self._whole

    @property
    def inputs(self) -> Inputs:
        """Return what the dependencies of this moment may read of a handshake."""
        self._follow_overrides()
        return self._inputs

    def _follow_overrides(self) -> None:
        overrides = self._application.overrides
        if overrides != self._applied:
            self._apply(dict(overrides))

    def _apply(self, overrides: Overrides) -> None:
        seams = self._application.seams
        altered = overrides.keys() & set(calls_of(self._declared))
        self._whole = with_overrides(self._declared, overrides) if altered else self._declared
        self._inputs = inputs_of(self._whole, CREDENTIAL_READERS, overrides)
        self.dependant = self._whole
        if all(overrides[call] is seams.get(call) for call in altered):
            made = {call: shorten(seams) for call, shorten in self._shortcuts.items()}
            self.dependant = with_overrides(self._whole, made)
        self.app = socket_app_of(self.dependant)
        self._applied = overrides
