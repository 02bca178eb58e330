"""Asks dependencies in mid-connection: about a newer token, or about one item more.

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

For an item that is joined at `/ws`, what its handshake presented is there too, until a refresh.
A dependency that wants another header or query parameter gets none, as from a client that sends
none. `receive` and `send` raise: only a verdict is asked for. An exception handler of the
application is not asked; what is raised is read by the table of `responses/rejections.py`.

The names imported from `fastapi.dependencies` are FastAPI's own; its version is bounded in
`pyproject.toml`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import WebSocket
from fastapi.dependencies.utils import solve_dependencies
from fastapi.exceptions import WebSocketRequestValidationError
from starlette.types import Message, Scope
from typing_extensions import override

from itemwire.authorization.deadline import DECISION_SECONDS
from itemwire.authorization.routes import SocketRoute, socket_route_of
from itemwire.channels.reauthorization import Denied, Renewal, Rights, Verdict
from itemwire.close_reasons import INTERNAL, OVERLOADED, CloseReason
from itemwire.responses.rejections import reason_of
from itemwire_auth.audit import LOGGED_LENGTH
from itemwire_auth.authenticator import IDENTITY
from itemwire_auth.credentials import QUERY_NAME, REFRESH
from itemwire_auth.dependencies import VERIFIED
from itemwire_auth.errors import AuthError
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.refusals import refusal

logger = logging.getLogger("itemwire.refusals")

T = TypeVar("T")

AT_ONCE: Final = 8  # items of one socket, whose rights are worked out side by side


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


@dataclass(frozen=True, slots=True)
class Request:
    """What is kept of a handshake to ask dependencies again."""

    path: str
    root_path: str
    client: object
    state: Mapping[str, object] | None
    query: bytes = field(default=b"", repr=False)
    headers: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)

    @classmethod
    def of(cls, scope: Scope) -> Request:
        """Keep where a handshake went and whence it came, and nothing that it presented."""
        state = scope.get("state") or None
        return cls(scope["path"], scope.get("root_path", ""), scope.get("client"), state)

    def with_token(self, token: str) -> Request:
        """Present a token, and nothing of before beside it."""
        query = urlencode({QUERY_NAME: token}, errors="surrogatepass").encode()
        return replace(self, query=query, headers=())

    def to(self, route: SocketRoute, **more: object) -> WebSocket:
        """Make the socket that a route's dependencies are asked about."""
        scope: Scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": self.path,
            "root_path": self.root_path,
            "query_string": self.query,
            "headers": list(self.headers),
            "subprotocols": [],
            "client": self.client,
            "server": None,
            "state": dict(self.state or {}),
            "app": route.application,
            **more,
        }
        scope.update(route.matches(scope)[1])
        return WebSocket(scope, receive=_no_request, send=_no_answer)


class Reauthorization:
    """One socket's way to have its rights worked out again, and all that is kept for it."""

    __slots__ = ("_owner", "_request", "_route")

    def __init__(self, owner: Reauthorizer, route: SocketRoute, scope: Scope) -> None:
        self._owner = owner
        self._route = route
        self._request = Request.of(scope)

    def __call__(self, token: str, answer: Callable[[Verdict], None]) -> None:
        """Work out what a token allows here; at once it is only begun."""
        self._owner.run(self._work_out(token, answer))

    async def _work_out(self, token: str, answer: Callable[[Verdict], None]) -> None:
        websocket = self._request.with_token(token).to(self._route, **{REFRESH: token})
        answer(await verdict_of(self._route, websocket, Grant))


class SocketRights(Rights):
    """One socket of many items: what its caller may do with each, by the item's own route.

    The dependencies of that route are asked as if the client had connected to it, with what it
    presented at its handshake or the token it was refreshed with; who is calling is known.
    """

    __slots__ = ("_item_route", "_owner", "_request", "_route")

    def __init__(
        self, owner: Reauthorizer, route: SocketRoute, item_route: SocketRoute, scope: Scope
    ) -> None:
        self._owner = owner
        self._route = route
        self._item_route = item_route
        self._request = replace(
            Request.of(scope), query=scope["query_string"], headers=tuple(scope["headers"])
        )

    @override
    def of_item(
        self, principal: Principal, item_id: str, answer: Callable[[Verdict], None]
    ) -> None:
        self._owner.run(self._ask(principal, item_id, answer))

    @override
    def renew(
        self, token: str, items: Sequence[str], answer: Callable[[Renewal | Denied], None]
    ) -> None:
        self._owner.run(self._renew(token, items, answer))

    async def _ask(
        self, principal: Principal, item_id: str, answer: Callable[[Verdict], None]
    ) -> None:
        answer(await self._verdict(self._request, principal, item_id))

    async def _renew(
        self, token: str, items: Sequence[str], answer: Callable[[Renewal | Denied], None]
    ) -> None:
        request = self._request.with_token(token)
        websocket = request.to(self._route, **{REFRESH: token})
        principal = await verdict_of(self._route, websocket, Principal)
        if isinstance(principal, Denied):
            answer(principal)
            return
        verdicts: dict[str, Verdict] = {}
        try:
            async with asyncio.timeout(DECISION_SECONDS):
                for some in batched(items, AT_ONCE):
                    asked = (self._verdict(request, principal, item_id) for item_id in some)
                    verdicts.update(zip(some, await asyncio.gather(*asked), strict=True))
        except TimeoutError:
            answer(Denied(OVERLOADED, principal))
            return
        self._request = request  # what was presented before speaks for nobody any longer
        answer(Renewal(principal, verdicts))

    async def _verdict(self, request: Request, principal: Principal, item_id: str) -> Verdict:
        path = f"{request.path.removesuffix('/ws')}/items/{item_id}/ws"
        known = {VERIFIED: principal, IDENTITY: principal.identity}
        websocket = replace(request, path=path).to(self._item_route, **known)
        return await verdict_of(self._item_route, websocket, Grant)


def reauthorization_of(websocket: WebSocket) -> Reauthorization | None:
    """Keep what is needed to ask this route's dependencies again; None where that cannot be."""
    route = websocket.scope.get("route")
    owner = getattr(websocket.app.state, "reauthorizer", None)
    if owner is None or not isinstance(route, SocketRoute):
        return None
    return Reauthorization(owner, route, websocket.scope)


def rights_of(websocket: WebSocket, item_endpoint: Callable[..., Any]) -> SocketRights:
    """Keep what is needed to ask the dependencies of an item's route about this caller."""
    app = websocket.app
    route, item_route = websocket.scope["route"], socket_route_of(app, item_endpoint)
    return SocketRights(app.state.reauthorizer, route, item_route, websocket.scope)


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Give the items so many at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def verdict_of(route: SocketRoute, websocket: WebSocket, kind: type[T]) -> T | Denied:
    """Ask a route's dependencies about a socket, and let go at once of what they hold.

    The verdict is the argument of the route's function that is of this kind.
    """
    solved: dict[Any, Any] = {}  # who asks is in it, also where that one may not be here
    deadline = asyncio.timeout(DECISION_SECONDS)
    try:
        async with deadline:
            return await _solved(route, websocket, solved, kind)
    except Exception as error:  # noqa: BLE001 - whatever a dependency raises, it denies
        told = refusal(websocket, error) if isinstance(error, AuthError) else error
        reason = OVERLOADED if deadline.expired() else reason_of(told)
        _log(websocket, reason, told)
    callers = (one for one in solved.values() if isinstance(one, Principal))
    return Denied(reason, next(callers, None))


async def _solved(
    route: SocketRoute, websocket: WebSocket, solved: dict[Any, Any], kind: type[T]
) -> T:
    """Do what FastAPI does ahead of a route's function; find the verdict in its arguments."""
    found: list[T] = []
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
        found += [value for value in outcome.values.values() if isinstance(value, kind)]
    if len(found) != 1:
        kinds = f"{len(found)} of {kind.__name__}"
        raise RuntimeError(f"{route.path} gives {kinds}: one is needed to work out rights")
    return found[0]


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
