"""Counts sockets in and out: a place is taken ahead of any wait, and given back once.

    Admission (here, ahead of every route)   takes a place, or refuses: no token is looked at;
                                             then waits for its turn, if many come at once
    claim_place (a route, once it knows)     counts it as its subject's too, or refuses
    drive                                    hands it over to the session
    Session.closed                           gives it back: the socket is gone

A stream of server-sent events takes its place in its route (`take_place`): what else comes over
HTTP does not last.

A handshake that comes to nothing gives it back here, whichever way it ends.
"""

import logging
from typing import Final

from fastapi import HTTPException, Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire.channels.limits.connections import Place, Places
from itemwire.channels.sessions.session import Session
from itemwire.close_reasons import CloseReason
from itemwire.middleware.pacing import Pacing
from itemwire_auth.audit import quoted
from itemwire_auth.dependencies import refusal
from itemwire_auth.errors import TooManyConnections
from itemwire_auth.principal import Principal

logger = logging.getLogger("itemwire.refusals")

PLACE: Final = "itemwire.place"


class Admission:
    """ASGI middleware: no more sockets than there are places."""

    def __init__(self, app: ASGIApp, places: Places) -> None:
        self._app = app
        self._places = places
        self._pacing = Pacing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a handshake go on with a place of its own, or refuse it."""
        if scope["type"] == "websocket":
            reason = _take_place(self._places, scope)
            if reason is not None:
                await send(
                    {"type": "websocket.close", "code": reason.code, "reason": reason.reason}
                )
                return
        try:
            if scope["type"] == "websocket":
                await self._pacing.turn()
            await self._app(scope, receive, send)
        finally:
            place: Place | None = scope.get(PLACE)
            if place is not None and not place.is_handed_over:
                place.give_back()


def take_place(request: Request, principal: Principal) -> None:
    """Count a stream over HTTP as sockets are, once its caller is known, or refuse."""
    reason = _take_place(request.app.state.places, request.scope)
    if reason is not None:
        raise HTTPException(reason.status, reason.reason)
    claim_place(request, principal)


def _take_place(places: Places, scope: Scope) -> CloseReason | None:
    """Take a place for a connection, or say why there is none."""
    client = scope.get("client")
    host = client[0] if client else None
    place = places.take(host)
    if isinstance(place, Place):
        scope[PLACE] = place
        return None
    logger.warning("refused reason=%s client=%s: no place", place.reason, quoted(host))
    return place


def claim_place(connection: HTTPConnection, principal: Principal) -> None:
    """Count a socket as its caller's, or refuse: it has as many as it may."""
    place: Place | None = connection.scope.get(PLACE)
    if place is not None and not place.claim(principal.identity):
        problem = TooManyConnections(f"{principal.subject!r} has as many sockets as it may")
        raise refusal(connection, problem)


def hand_over_place(connection: HTTPConnection, session: Session) -> None:
    """Let a session give the place back, which may last longer than the call of the route."""
    place: Place | None = connection.scope.get(PLACE)
    if place is not None:
        session.place = place
        place.is_handed_over = True
