"""Asks a socket's dependencies again: about a newer token, or about one more item.

The handshake's request is gone by then. A dependency that is asked again finds:

    path, root_path, path_params     as at the handshake
    client                           the address of the handshake, as trusted proxies reported it
    state                            what the server's lifespan and middlewares had put into it
    app, route, endpoint             those of the route
    headers, cookies, query          those of the handshake that the route's dependencies declare,
                                     with the new token in place of each earlier credential. All of
                                     them if a dependency is given the connection itself
    query                            always `token`, too, the new one. Its source is called
                                     `refresh`, so it is also taken where tokens in URLs are not
    subprotocols                     those of the handshake, where the dependencies see that header

So they never find less than at the handshake, and cannot take what is missing for a caller without
restrictions. `MAX_KEPT_BYTES` are kept of a handshake; where the dependencies may read more, or
others than at the handshake, they are not asked, and the answer is `query_invalid`.

For an item that is joined at `/ws`, the handshake's own credential stands there until a refresh.
`receive` and `send` raise: a dependency may only decide. The application's exception handlers are
not called; an exception becomes a close reason by the table of `responses/rejections.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from fastapi import Request, WebSocket
from starlette.types import Scope
from typing_extensions import override

from itemwire.application import application_of
from itemwire.authorization.deadline import LateDecision, decided, decision_due
from itemwire.authorization.kept_handshake import KeptHandshake
from itemwire.authorization.routes import SocketRoute, socket_route_of
from itemwire.authorization.solving import Solved, solve
from itemwire.channels.reauthorization import Denied, ItemRights, Offered, Renewal, Verdict
from itemwire.close_reasons import (
    INTERNAL,
    OVERLOADED,
    QUERY_INVALID,
    TOKEN_EXPIRED,
    CloseReason,
)
from itemwire.counters import ChannelCounters
from itemwire.pacing import Pacing
from itemwire.responses.rejections import detail_of, reason_of
from itemwire_auth.audit import LOGGED_LENGTH
from itemwire_auth.authenticator import IDENTITY, RECHECK
from itemwire_auth.credentials import REFRESH
from itemwire_auth.dependencies import VERIFIED
from itemwire_auth.errors import AuthError
from itemwire_auth.principal import Grant, Identity, Principal
from itemwire_auth.refusals import refusal
from itemwire_auth.state import AuthState

logger = logging.getLogger("itemwire.refusals")

T = TypeVar("T")

AT_ONCE: Final = 8  # items of one socket whose rights are worked out concurrently


class Reauthorizer(AbstractAsyncContextManager["Reauthorizer"]):
    """Owns the tasks that ask dependencies again: one a refresh, none an idle socket.

    Leaving it cancels the tasks that still run, and waits until they have released everything.
    """

    def __init__(self, counters: ChannelCounters | None = None, *, keeps_credentials: bool) -> None:
        self.counters = counters or ChannelCounters()
        self._pacing = Pacing()
        self.keeps_credentials = keeps_credentials  # to ask a host about its users again
        self._running: set[asyncio.Task[Any]] = set()
        self._is_left = False

    def run(self, work: Coroutine[Any, Any, T], answer: Callable[[T | Denied], None]) -> None:
        """Begin to work something out, and answer it: `internal` where the work fails.

        Nobody is answered once this is left.
        """
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(partial(self._done, answer))

    def known(self, principal: Principal) -> dict[str, object]:
        """Return what a scope says about a caller who is asked about again.

        A host is asked about its user itself.
        """
        return {RECHECK: True} if self.keeps_credentials else {VERIFIED: principal}

    async def verdict_of(
        self, route: SocketRoute, websocket: WebSocket, kind: type[T], due: float
    ) -> T | Denied:
        """Return the argument of this kind that an endpoint would get, or why it is denied.

        A few are worked out in each turn of the event loop, and the others wait. A denial names the
        caller if the dependencies found out who it is.
        """
        solved: Solved = {}
        try:
            return await decided(self._solve(websocket, route, kind, solved), due)
        except Exception as error:  # noqa: BLE001 - whatever a dependency raises, it denies
            told = refusal(websocket, error) if isinstance(error, AuthError) else error
            reason = OVERLOADED if isinstance(error, LateDecision) else reason_of(told)
            _log(websocket, reason, told)
        callers = (one for one in solved.values() if isinstance(one, Principal))
        return Denied(reason, next(callers, None))

    async def _solve(
        self, websocket: WebSocket, route: SocketRoute, kind: type[T], solved: Solved
    ) -> T:
        await self._pacing.turn()
        return await solve(websocket, route.whole, kind, solved)

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


class Reauthorization:
    """Works out the rights of one socket again; holds all that is kept of its handshake."""

    __slots__ = ("_handshake", "_identity", "_owner", "_route")

    def __init__(
        self,
        owner: Reauthorizer,
        route: SocketRoute,
        scope: Scope,
        *,
        keeps_credential: bool = False,
    ) -> None:
        self._owner = owner
        self._route = route
        self._identity: Identity | None = None
        without: str | None = _cookie_name(route)
        if owner.keeps_credentials or keeps_credential:
            self._identity, without = scope.get(IDENTITY), None
        self._handshake = KeptHandshake.of(
            scope, route.inputs, owner.counters, without_credential=without
        )

    def __call__(self, offered: Offered, answer: Callable[[Verdict], None]) -> None:
        """Begin to work out what is allowed on this socket's route; `answer` comes later."""
        if isinstance(offered, Principal):
            self._owner.run(self._recheck(offered), answer)
        else:
            self._owner.run(self._work_out(offered), answer)

    async def _recheck(self, principal: Principal) -> Verdict:
        if not self._handshake.has_all_for(self._route):
            return Denied(TOKEN_EXPIRED, principal)  # its client presents all of it once more
        websocket = self._handshake.to(self._route, more=self._owner.known(principal))
        return await self._owner.verdict_of(self._route, websocket, Grant, decision_due())

    async def _work_out(self, token: str) -> Verdict:
        if not self._handshake.has_all_for(self._route):
            return Denied(QUERY_INVALID)
        presented = self._handshake.presented.with_token(token, _cookie_name(self._route))
        websocket = self._handshake.to(self._route, presented, more={REFRESH: token})
        verdict = await self._owner.verdict_of(self._route, websocket, Grant, decision_due())
        if isinstance(verdict, Grant) and verdict.principal.identity == self._identity:
            inputs = self._handshake.inputs
            self._handshake = self._handshake.keeping(presented, inputs, self._owner.counters)
        return verdict


class SocketRights(ItemRights):
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
        self._handshake = KeptHandshake.of(scope, route.inputs | item_route.inputs, owner.counters)

    @override
    def due(self) -> float:
        return decision_due()

    @override
    def of_item(
        self, principal: Principal, item_id: str, due: float, answer: Callable[[Verdict], None]
    ) -> None:
        self._owner.run(self._verdict(self._handshake, principal, item_id, due), answer)

    @override
    def renew(
        self,
        offered: Offered,
        items: Sequence[str],
        due: float,
        answer: Callable[[Renewal | Denied], None],
    ) -> None:
        self._owner.run(self._renew(offered, items, due), answer)

    async def _renew(self, offered: Offered, items: Sequence[str], due: float) -> Renewal | Denied:
        """Work out the rights of the socket and of its items together within one deadline."""
        handshake = self._with(offered)
        more: dict[str, object] = {REFRESH: offered}
        lacking = QUERY_INVALID
        if isinstance(offered, Principal):
            more, lacking = self._owner.known(offered), TOKEN_EXPIRED
        if not handshake.has_all_for(self._route, self._item_route):
            return Denied(lacking)
        websocket = handshake.to(self._route, more=more)
        principal = await self._owner.verdict_of(self._route, websocket, Principal, due)
        if isinstance(principal, Denied):
            return principal
        try:
            verdicts = await decided(self._verdicts(handshake, principal, items, due), due)
        except LateDecision:
            logger.error("refresh_late path=%r items=%d", handshake.path, len(items))  # noqa: TRY400
            return Denied(OVERLOADED, principal)
        return Renewal(principal, verdicts, partial(self._keep, handshake))

    def _keep(self, handshake: KeptHandshake) -> None:
        self._handshake = handshake

    def _with(self, offered: Offered) -> KeptHandshake:
        """Return the handshake, with a new token in place of what spoke for the caller before."""
        handshake = self._handshake
        if handshake.inputs.is_empty or isinstance(offered, Principal):
            return handshake
        presented = handshake.presented.with_token(offered, _cookie_name(self._route))
        return handshake.keeping(presented, handshake.inputs, self._owner.counters)

    async def _verdicts(
        self, handshake: KeptHandshake, principal: Principal, items: Sequence[str], due: float
    ) -> dict[str, Verdict]:
        verdicts: dict[str, Verdict] = {}
        for batch in batched(items, AT_ONCE):
            asked = (self._verdict(handshake, principal, item_id, due) for item_id in batch)
            verdicts.update(zip(batch, await asyncio.gather(*asked), strict=True))
        return verdicts

    async def _verdict(
        self, handshake: KeptHandshake, principal: Principal, item_id: str, due: float
    ) -> Verdict:
        websocket = self.about(principal, item_id, handshake)
        if websocket is None:
            return Denied(QUERY_INVALID, principal)
        return await self._owner.verdict_of(self._item_route, websocket, Grant, due)

    def about(
        self, principal: Principal, item_id: str, handshake: KeptHandshake | None = None
    ) -> WebSocket | None:
        """Return a socket to ask about an item; None if too little of the handshake is kept."""
        handshake = handshake or self._handshake
        path = f"{handshake.path.removesuffix('/ws')}/items/{item_id}/ws"
        return replace(handshake, path=path).of_caller(principal, self._item_route)


def reauthorization_of(websocket: WebSocket, owner: Reauthorizer) -> Reauthorization | None:
    """Keep what is needed to ask this socket's dependencies again.

    Return None on a route that `add_sockets` has not made: its rights are those of the handshake.
    """
    route = websocket.scope.get("route")
    if not isinstance(route, SocketRoute):
        return None
    return Reauthorization(owner, route, websocket.scope)


def reauthorization_of_stream(
    request: Request, owner: Reauthorizer, item_endpoint: Callable[..., Any], suffix: str
) -> Reauthorization:
    """Keep what is needed to ask an item's socket route about a stream's caller."""
    route = socket_route_of(application_of(request.scope), item_endpoint)
    path = f"{request.scope['path'].removesuffix(suffix)}/ws"
    return Reauthorization(owner, route, {**request.scope, "path": path})


def rights_of(
    websocket: WebSocket, owner: Reauthorizer, item_endpoint: Callable[..., Any]
) -> SocketRights:
    """Keep what is needed to ask an item route's dependencies about this socket's caller."""
    item_route = socket_route_of(application_of(websocket.scope), item_endpoint)
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


def _cookie_name(route: SocketRoute) -> str:
    """Return the name of the session cookie; of an application without one, a name of none."""
    state = getattr(route.application.state, "auth", None)
    return state.authenticator.cookie_name if isinstance(state, AuthState) else ""


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Split a sequence into runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _log(websocket: WebSocket, reason: CloseReason, error: Exception) -> None:
    """Log why rights were denied; `itemwire_auth` has logged its own refusals already."""
    if isinstance(error.__cause__, AuthError):
        return
    path = str(websocket.scope["path"])[:LOGGED_LENGTH]
    if reason is INTERNAL:
        logger.error("refresh_failed path=%r", path, exc_info=error)
    else:
        line = "refresh_refused reason=%r path=%r detail=%r"
        logger.warning(line, reason.reason, path, detail_of(error))
