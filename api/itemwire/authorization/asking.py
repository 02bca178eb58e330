"""Asks dependencies of a host application about any request or handshake.

A host's dependencies know nothing of Itemwire: they declare a `Request`, a security scheme, a
header. A handshake is shown to them as the GET request that it is. The token of a query or of a
subprotocol, which browsers use on sockets, is shown as the `Authorization` header.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, HTTPException, Request, WebSocket
from starlette.requests import HTTPConnection
from starlette.types import Message, Scope
from starlette.websockets import WebSocketState

from itemwire.authorization.deadline import DECISION_SECONDS
from itemwire.authorization.inputs import shown_headers, shown_query
from itemwire.authorization.solving import (
    Dependant,
    Overrides,
    Solved,
    dependant_for,
    values_within,
    with_overrides,
)
from itemwire.authorization.straight import Needs
from itemwire.close_reasons import OVERLOADED
from itemwire_auth.dependencies import VERIFIED
from itemwire_auth.principal import Principal

T = TypeVar("T")

SOLVED: Final = "itemwire.solved"  # what a host's dependencies have returned about this request

SCHEMES: Final = {"ws": "http", "wss": "https"}


class AskedCall:
    """A host's function with dependencies, asked outside of FastAPI's own routes."""

    def __init__(self, call: Callable[..., Any], parameters: Iterable[str] = ()) -> None:
        async def asked(answer: Annotated[object, Depends(call)]) -> None:
            """Depend on the function, so that it is called as any dependency is."""

        path = "".join(f"/{{{name}}}" for name in parameters)
        self._declared = dependant_for(asked, path)
        self._applied: Overrides = {}
        self._dependant = self._declared
        self._look_at_needs()

    def under(self, overrides: Overrides) -> Dependant:
        """Return what the function depends on, with an application's overrides in place."""
        if overrides != self._applied:
            self._applied = dict(overrides)
            self._dependant = with_overrides(self._declared, self._applied)
            self._look_at_needs()
        return self._dependant

    def _look_at_needs(self) -> None:
        self._needs = Needs.of(self._dependant)
        self._is_blind = self._needs is not None and self._needs.is_blind

    async def ask(
        self,
        connection: HTTPConnection,
        overrides: Overrides,
        *,
        parameters: Mapping[str, str] | None = None,
        principal: Principal | None = None,
    ) -> object:
        """Return what the function returns about a request or handshake that FastAPI handles.

        A dependency is asked once about each request, whichever functions depend on it. What it
        opened with `yield` is closed where those of the route are.

        `parameters` are added to those of the path, and a caller that is known is not asked for
        again.

        Raises what a dependency raises, and FastAPI's validation error for parameters.
        """
        dependant = self.under(overrides)
        view: Any = connection
        if not self._is_blind:  # else nobody looks at it
            view = _view_of(connection, parameters, principal)
        solved: Solved = connection.scope.setdefault(SOLVED, {})
        solving = values_within(connection, view, dependant, solved, self._needs)
        # Handshakes have a deadline of their own.
        is_timed = connection.scope["type"] == "http"
        values = await (_in_time(solving) if is_timed else solving)
        return values["answer"]


class HandshakeRequest(Request, WebSocket):  # type: ignore[misc] # both have `receive`, `close`
    """A handshake as dependencies find it: the GET request that it is, and a socket.

    They may only decide: reading from the socket and writing to it raise RuntimeError.
    """

    def __init__(self, scope: Scope) -> None:
        # Neither class can be initialized: each insists that a scope is of its own type.
        HTTPConnection.__init__(self, scope)
        self._receive = _no_request
        self._send = _no_answer
        self._body = b""  # a request whose body was read already
        self._stream_consumed = True
        self._is_disconnected = False
        self._form = None
        self.client_state = self.application_state = WebSocketState.CONNECTING


def _view_of(
    connection: HTTPConnection, parameters: Mapping[str, str] | None, principal: Principal | None
) -> Request | WebSocket:
    """Return a request or handshake as the host's dependencies find it."""
    scope: Scope = dict(connection.scope)
    scope["headers"] = shown_headers(connection.scope)
    scope["query_string"] = shown_query(connection.scope)
    if parameters:
        scope["path_params"] = {**connection.path_params, **parameters}
    if principal is not None:
        scope[VERIFIED] = principal
    if scope["type"] == "http":
        return Request(
            scope, connection.receive if isinstance(connection, Request) else _no_request
        )
    scope["scheme"] = SCHEMES.get(scope.get("scheme", ""), "http")
    scope["type"], scope["method"] = "http", "GET"
    return HandshakeRequest(scope)


async def _in_time(deciding: Awaitable[T]) -> T:
    """Wait for a decision as long as a handshake would; then refuse with 503 `overloaded`."""
    deadline = asyncio.timeout(DECISION_SECONDS)
    try:
        async with deadline:
            return await deciding
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise HTTPException(OVERLOADED.status, OVERLOADED.reason) from error


async def _no_request() -> Message:
    raise RuntimeError("a dependency of a handshake decides: it cannot read from the socket")


async def _no_answer(_message: Message) -> None:
    raise RuntimeError("a dependency of a handshake decides: it cannot write to the socket")
