"""Counts sockets in and out: a place is taken ahead of any wait, and given back once.

    Admission (here, ahead of every route)   takes a place, or refuses: no token is looked at;
                                             then waits for its turn, if many come at once
    claim_slot (a route, once it knows)     counts it as its subject's too, or refuses
    drive                                    hands it over to the session
    Session.closed                           gives it back: the socket is gone

A stream of server-sent events takes its place in its route (`acquire_slot`): what else comes over
HTTP does not last.

A handshake that comes to nothing gives it back here, whichever way it ends.
"""

import logging
from typing import Final

from fastapi import HTTPException, Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire.channels.limits.connections import ConnectionSlot, ConnectionSlots
from itemwire.channels.sessions.session import Session
from itemwire.close_reasons import CloseReason
from itemwire.middleware.pacing import Pacing
from itemwire_auth.audit import quoted
from itemwire_auth.dependencies import refusal
from itemwire_auth.errors import TooManyConnections
from itemwire_auth.principal import Principal

logger = logging.getLogger("itemwire.refusals")

SLOT: Final = "itemwire.place"


class Admission:
    """ASGI middleware: no more sockets than there are places."""

    def __init__(self, app: ASGIApp, slots: ConnectionSlots) -> None:
        self._app = app
        self._slots = slots
        self._pacing = Pacing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a handshake go on with a place of its own, or refuse it."""
        if scope["type"] == "websocket":
            reason = _acquire_slot(self._slots, scope)
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
            slot: ConnectionSlot | None = scope.get(SLOT)
            if slot is not None and not slot.is_handed_over:
                slot.release()


def acquire_slot(request: Request, principal: Principal) -> None:
    """Count a stream over HTTP as sockets are, once its caller is known, or refuse."""
    reason = _acquire_slot(request.app.state.slots, request.scope)
    if reason is not None:
        raise HTTPException(reason.status, reason.reason)
    claim_slot(request, principal)


def _acquire_slot(slots: ConnectionSlots, scope: Scope) -> CloseReason | None:
    """Take a place for a connection, or say why there is none."""
    client = scope.get("client")
    host = client[0] if client else None
    slot = slots.acquire(host)
    if isinstance(slot, ConnectionSlot):
        scope[SLOT] = slot
        return None
    logger.warning("refused reason=%s client=%s: no place", slot.reason, quoted(host))
    return slot


def claim_slot(connection: HTTPConnection, principal: Principal) -> None:
    """Count a socket as its caller's, or refuse: it has as many as it may."""
    slot: ConnectionSlot | None = connection.scope.get(SLOT)
    if slot is not None and not slot.claim_for(principal.identity):
        problem = TooManyConnections(f"{principal.subject!r} has as many sockets as it may")
        raise refusal(connection, problem)


def hand_over_slot(connection: HTTPConnection, session: Session) -> None:
    """Let a session give the place back, which may last longer than the call of the route."""
    slot: ConnectionSlot | None = connection.scope.get(SLOT)
    if slot is not None:
        session.slot = slot
        slot.is_handed_over = True
