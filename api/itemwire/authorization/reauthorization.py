"""Asks a socket's dependencies again: about a newer token, or about one more item.

The handshake's request is gone by then, and of it no more is kept than fits a few words of memory.
A dependency that is asked again finds:

    path, root_path, path_params     as at the handshake
    client                           the address of the handshake, as trusted proxies reported it
    state                            what the server's lifespan and middlewares had put into it
    app, route, endpoint             those of the route
    query                            `token`, the new one, and nothing else. Its source is called
                                     `refresh`, so it is also taken where tokens in URLs are not
    headers, cookies, subprotocols   none: no earlier credential speaks for the new token

For an item that is joined at `/ws`, what the handshake presented is there too, until a refresh.
A dependency that wants another header or query parameter finds none, as from a client that sends
none. `receive` and `send` raise: a dependency may only decide. The application's exception handlers
are not called; an exception becomes a close reason by the table of `responses/rejections.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import WebSocket
from starlette.types import Message, Scope
from typing_extensions import override

from itemwire.authorization.deadline import DECISION_SECONDS
from itemwire.authorization.routes import SocketRoute, socket_route_of
from itemwire.authorization.solving import Solved, solve
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

AT_ONCE: Final = 8  # items of one socket whose rights are worked out concurrently


class Reauthorizer(AbstractAsyncContextManager["Reauthorizer"]):
    """Owns the tasks that ask dependencies again: one a refresh, none an idle socket.

    Leaving it cancels the tasks that still run, and waits until they have released everything.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._is_left = False

    def run(self, work: Coroutine[Any, Any, T], answer: Callable[[T | Denied], None]) -> None:
        """Begin to work something out, and answer it: `internal` where the work fails.

        Nobody is answered once this is left.
        """
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(partial(self._done, answer))

    @override
    async def __aexit__(self, *_: object) -> None:
        self._is_left = True
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)
        self._is_left = False  # the application may be started again

    def _done(self, answer: Callable[[T | Denied], None], task: asyncio.Task[T]) -> None:
        """Answer what a task has worked out, however it ended: even cancelled by what it asked."""
        self._running.discard(task)
        if self._is_left:
            return
        try:
            answer(_outcome_of(task))
        except Exception:
            logger.exception("refresh_failed")


@dataclass(frozen=True, slots=True)
class KeptHandshake:
    """What is kept of a handshake to ask its route's dependencies again."""

    path: str
    root_path: str
    client: object
    state: Mapping[str, object] | None
    query: bytes = field(default=b"", repr=False)
    headers: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)

    @classmethod
    def of(cls, scope: Scope) -> KeptHandshake:
        """Keep where a handshake came from and went to, and nothing that it presented."""
        state = scope.get("state") or None
        return cls(scope["path"], scope.get("root_path", ""), scope.get("client"), state)

    @classmethod
    def with_credentials_of(cls, scope: Scope) -> KeptHandshake:
        """Keep what a handshake presented, too."""
        headers = tuple(scope["headers"])
        return replace(cls.of(scope), query=scope["query_string"], headers=headers)

    def with_token(self, token: str) -> KeptHandshake:
        """Present a token, and nothing that was presented before it."""
        query = urlencode({QUERY_NAME: token}, errors="surrogatepass").encode()
        return replace(self, query=query, headers=())

    def to(self, route: SocketRoute, **more: object) -> WebSocket:
        """Make a socket to ask a route's dependencies about; `more` is added to its scope."""
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
    """Works out the rights of one socket again; holds all that is kept of its handshake."""

    __slots__ = ("_handshake", "_owner", "_route")

    def __init__(self, owner: Reauthorizer, route: SocketRoute, scope: Scope) -> None:
        self._owner = owner
        self._route = route
        self._handshake = KeptHandshake.of(scope)

    def __call__(self, token: str, answer: Callable[[Verdict], None]) -> None:
        """Begin to work out what a token allows on this socket's route; `answer` comes later."""
        self._owner.run(self._work_out(token), answer)

    async def _work_out(self, token: str) -> Verdict:
        websocket = self._handshake.with_token(token).to(self._route, **{REFRESH: token})
        return await verdict_of(self._route, websocket, Grant)


class SocketRights(Rights):
    """What the caller of a socket of many items may do with each, by the item's own route.

    That route's dependencies are asked as if the client had connected to it, with what it
    presented at its handshake, or with the token it was last refreshed with. They do not verify
    the caller again.
    """

    __slots__ = ("_handshake", "_item_route", "_owner", "_route")

    def __init__(
        self, owner: Reauthorizer, route: SocketRoute, item_route: SocketRoute, scope: Scope
    ) -> None:
        self._owner = owner
        self._route = route
        self._item_route = item_route
        self._handshake = KeptHandshake.with_credentials_of(scope)

    @override
    def of_item(
        self, principal: Principal, item_id: str, answer: Callable[[Verdict], None]
    ) -> None:
        self._owner.run(self._verdict(self._handshake, principal, item_id), answer)

    @override
    def renew(
        self, token: str, items: Sequence[str], answer: Callable[[Renewal | Denied], None]
    ) -> None:
        self._owner.run(self._renew(token, items), answer)

    async def _renew(self, token: str, items: Sequence[str]) -> Renewal | Denied:
        """Work out a refresh, of the socket and of its items together within one deadline."""
        handshake = self._handshake.with_token(token)
        try:
            async with asyncio.timeout(DECISION_SECONDS):
                outcome = await self._renewal(handshake, token, items)
        except TimeoutError:
            logger.error("refresh_late path=%r items=%d", handshake.path, len(items))  # noqa: TRY400
            return Denied(OVERLOADED)
        if isinstance(outcome, Renewal):
            self._handshake = handshake  # from now on the new token alone speaks for the caller
        return outcome

    async def _renewal(
        self, handshake: KeptHandshake, token: str, items: Sequence[str]
    ) -> Renewal | Denied:
        websocket = handshake.to(self._route, **{REFRESH: token})
        principal = await verdict_of(self._route, websocket, Principal)
        if isinstance(principal, Denied):
            return principal
        return Renewal(principal, await self._verdicts(handshake, principal, items))

    async def _verdicts(
        self, handshake: KeptHandshake, principal: Principal, items: Sequence[str]
    ) -> dict[str, Verdict]:
        verdicts: dict[str, Verdict] = {}
        for batch in batched(items, AT_ONCE):
            asked = (self._verdict(handshake, principal, item_id) for item_id in batch)
            verdicts.update(zip(batch, await asyncio.gather(*asked), strict=True))
        return verdicts

    async def _verdict(
        self, handshake: KeptHandshake, principal: Principal, item_id: str
    ) -> Verdict:
        path = f"{handshake.path.removesuffix('/ws')}/items/{item_id}/ws"
        known = {VERIFIED: principal, IDENTITY: principal.identity}
        websocket = replace(handshake, path=path).to(self._item_route, **known)
        return await verdict_of(self._item_route, websocket, Grant)


def reauthorization_of(websocket: WebSocket, owner: Reauthorizer) -> Reauthorization | None:
    """Keep what is needed to ask this socket's dependencies again.

    Return None on a route that `add_sockets` has not made: its rights are those of the handshake.
    """
    route = websocket.scope.get("route")
    if not isinstance(route, SocketRoute):
        return None
    return Reauthorization(owner, route, websocket.scope)


def rights_of(
    websocket: WebSocket, owner: Reauthorizer, item_endpoint: Callable[..., Any]
) -> SocketRights:
    """Keep what is needed to ask an item route's dependencies about this socket's caller."""
    item_route = socket_route_of(websocket.app, item_endpoint)
    return SocketRights(owner, websocket.scope["route"], item_route, websocket.scope)


def _outcome_of(task: asyncio.Task[T]) -> T | Denied:
    """Return what a task has worked out, or the denial of one that failed, which is logged."""
    if task.cancelled():
        logger.error("refresh_failed cancelled by a dependency")
        return Denied(INTERNAL)
    error = task.exception()
    if error is None:
        return task.result()
    logger.error("refresh_failed", exc_info=error)
    return Denied(INTERNAL)


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Split a sequence into runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def verdict_of(route: SocketRoute, websocket: WebSocket, kind: type[T]) -> T | Denied:
    """Return the argument of this kind that an endpoint would get, or why it is denied.

    A denial names the caller if the dependencies found out who it is.
    """
    solved: Solved = {}
    deadline = asyncio.timeout(DECISION_SECONDS)
    try:
        async with deadline:
            return await solve(websocket, route.whole, kind, solved)
    except Exception as error:  # noqa: BLE001 - whatever a dependency raises, it denies
        told = refusal(websocket, error) if isinstance(error, AuthError) else error
        reason = OVERLOADED if deadline.expired() else reason_of(told)
        _log(websocket, reason, told)
    callers = (one for one in solved.values() if isinstance(one, Principal))
    return Denied(reason, next(callers, None))


def _log(websocket: WebSocket, reason: CloseReason, error: Exception) -> None:
    """Log why rights were denied; `itemwire_auth` has logged its own refusals already."""
    if isinstance(error.__cause__, AuthError):
        return
    path = str(websocket.scope["path"])[:LOGGED_LENGTH]
    if reason is INTERNAL:
        logger.error("refresh_failed path=%r", path, exc_info=error)
    else:
        logger.warning("refresh_refused reason=%r path=%r", reason.reason, path)


async def _no_request() -> Message:
    raise RuntimeError("the handshake is over: a dependency that is asked again cannot read")


async def _no_answer(_message: Message) -> None:
    raise RuntimeError("the handshake is over: a dependency that is asked again cannot send")
