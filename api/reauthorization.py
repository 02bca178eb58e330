"""Asks a route's dependencies again in mid-connection, about a newer token.

The request is gone by then, and of it no more is kept than fits a few words of memory. What a
dependency finds when it is asked again:

    path, root_path, path_params     as at the handshake
    client                           the address of the handshake, proxies heeded
    state                            what the server's lifespan and middlewares had put into it
    app, route, endpoint             those of the route
    query                            `token`, the new one, and nothing else; what `auth` finds is
                                     of the source `refresh`, so where no token is taken from
                                     URLs it is taken here
    headers, cookies, subprotocols   none: no credential of before speaks for the new one

A dependency that wants another header or query parameter gets none, as from a client that sends
none. `receive` and `send` raise: only a verdict is asked for. An exception handler of the
application is not asked; what is raised is read by the table of `api/rejections.py`.

The names imported from `fastapi.dependencies` are FastAPI's own; its version is bounded in
`pyproject.toml`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import WebSocket
from fastapi.dependencies.utils import solve_dependencies
from fastapi.exceptions import WebSocketRequestValidationError
from starlette.types import Message, Scope
from typing_extensions import override

from api.channels.refreshing import Denied, Verdict
from api.closing import INTERNAL, OVERLOADED, CloseReason
from api.rejections import reason_of
from api.sockets import SocketRoute
from auth.audit import LOGGED_LENGTH
from auth.credentials import QUERY_NAME, REFRESH
from auth.dependencies import refusal
from auth.errors import AuthError
from auth.principal import Grant, Principal

logger = logging.getLogger("itemwire.refusals")

VERDICT_SECONDS: Final = 10.0  # for all dependencies of a route together


class Reauthorizer(AbstractAsyncContextManager["Reauthorizer"]):
    """Owns what is being worked out just now: one task for each refresh, none for a socket.

    Leaving it gives up what is not worked out yet, and waits until all is let go.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end, and tell the log if it fails."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    @override
    async def __aexit__(self, *_: object) -> None:
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("refresh_failed", exc_info=error)


class Reauthorization:
    """One socket's way to have its rights worked out again, and all that is kept for it."""

    __slots__ = ("_client", "_owner", "_path", "_root_path", "_route", "_state")

    def __init__(self, owner: Reauthorizer, route: SocketRoute, scope: Scope) -> None:
        self._owner = owner
        self._route = route
        self._path: str = scope["path"]
        self._root_path: str = scope.get("root_path", "")
        self._client: object = scope.get("client")
        self._state: Mapping[str, object] | None = scope.get("state") or None

    def __call__(self, token: str, answer: Callable[[Verdict], None]) -> None:
        """Work out what a token allows here; at once it is only begun."""
        self._owner.run(self._work_out(token, answer))

    async def _work_out(self, token: str, answer: Callable[[Verdict], None]) -> None:
        websocket = WebSocket(self._scope(token), receive=_no_request, send=_no_answer)
        answer(await verdict_of(self._route, websocket))

    def _scope(self, token: str) -> Scope:
        scope: Scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": self._path,
            "root_path": self._root_path,
            "query_string": urlencode({QUERY_NAME: token}, errors="surrogatepass").encode(),
            "headers": [],
            "subprotocols": [],
            "client": self._client,
            "server": None,
            "state": dict(self._state or {}),
            "app": self._route.application,
            REFRESH: token,
        }
        scope.update(self._route.matches(scope)[1])
        return scope


def reauthorization_of(websocket: WebSocket) -> Reauthorization | None:
    """Keep what is needed to ask this route's dependencies again; None where that cannot be."""
    route = websocket.scope.get("route")
    owner = getattr(websocket.app.state, "reauthorizer", None)
    if owner is None or not isinstance(route, SocketRoute):
        return None
    return Reauthorization(owner, route, websocket.scope)


async def verdict_of(route: SocketRoute, websocket: WebSocket) -> Verdict:
    """Ask a route's dependencies about a socket, and let go at once of what they hold."""
    solved: dict[Any, Any] = {}  # who asks is in it, also where that one may not be here
    deadline = asyncio.timeout(VERDICT_SECONDS)
    try:
        async with deadline:
            return await _grant(route, websocket, solved)
    except Exception as error:  # noqa: BLE001 - whatever a dependency raises, it denies
        told = refusal(websocket, error) if isinstance(error, AuthError) else error
        reason = OVERLOADED if deadline.expired() else reason_of(told)
        _log(websocket, reason, told)
    callers = (one for one in solved.values() if isinstance(one, Principal))
    return Denied(reason, next(callers, None))


async def _grant(route: SocketRoute, websocket: WebSocket, solved: dict[Any, Any]) -> Grant:
    """Do what FastAPI does ahead of a route's function; find the grant in its arguments."""
    grants: list[Grant] = []
    async with AsyncExitStack() as request_stack, AsyncExitStack() as function_stack:
        websocket.scope["fastapi_inner_astack"] = request_stack
        websocket.scope["fastapi_function_astack"] = function_stack
        outcome = await solve_dependencies(
            request=websocket,
            dependant=route.whole_dependant,
            dependency_cache=solved,
            async_exit_stack=request_stack,
            embed_body_fields=False,
        )
        if outcome.errors:
            raise WebSocketRequestValidationError(outcome.errors)
        grants += [value for value in outcome.values.values() if isinstance(value, Grant)]
    if len(grants) != 1:
        raise RuntimeError(f"{route.path} gives {len(grants)} grants: one is needed to refresh")
    return grants[0]


def _log(websocket: WebSocket, reason: CloseReason, error: Exception) -> None:
    """Log why there are no rights; a refusal of `auth` has been logged where it was raised."""
    if isinstance(error.__cause__, AuthError):
        return
    path = str(websocket.scope["path"])[:LOGGED_LENGTH]
    if reason is INTERNAL:
        logger.error("refresh_failed path=%r", path, exc_info=error)
    else:
        logger.warning("refresh_refused reason=%r path=%r", reason.reason, path)


async def _no_request() -> Message:
    raise RuntimeError("a refresh has no request to read from: dependencies only decide")


async def _no_answer(_message: Message) -> None:
    raise RuntimeError("a refresh has nobody to send to: dependencies only decide")
