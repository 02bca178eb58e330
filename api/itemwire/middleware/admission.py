"""Gives each socket a connection slot before anything is awaited, and takes it back once.

    Admission (here, before every route)   acquires a slot, or refuses without a look at the token;
                                           then waits for its turn if many requests come at once
    claim_slot (a route that knows)        counts the slot for its caller as well, or refuses
    hand_over_slot                         passes it on to the session
    Session.closed                         releases it: the socket is gone

A handshake that fails before it is handed over releases its slot here, whichever way it ends.

A stream of server-sent events acquires its slot in its route (`acquire_slot`); no other request
over HTTP lasts.
"""

import logging
from typing import Final

from fastapi import HTTPException, Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire.channels.limits.connections import ConnectionSlot, ConnectionSlots
from itemwire.channels.sessions.session import Session
from itemwire.close_reasons import CloseReason
from itemwire.pacing import Pacing
from itemwire_auth.addresses import client_host
from itemwire_auth.audit import client_label
from itemwire_auth.errors import TooManyConnections
from itemwire_auth.principal import Principal
from itemwire_auth.refusals import refusal

logger = logging.getLogger("itemwire.refusals")

SLOT: Final = "itemwire.slot"


class Admission:
    """ASGI middleware: refuses a handshake for which there is no connection slot."""

    def __init__(self, app: ASGIApp, slots: ConnectionSlots) -> None:
        self._app = app
        self._slots = slots
        self._pacing = Pacing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a handshake on with a slot of its own, or refuse it."""
        if scope["type"] == "websocket":
            reason = _acquire_slot(self._slots, scope)
            if reason is not None:
                await send(
                    {"type": "websocket.close", "code": reason.code, "reason": reason.reason}
                )
                return
        try:
            if scope["type"] != "lifespan":
                await self._pacing.turn()
            await self._app(scope, receive, send)
        finally:
            slot: ConnectionSlot | None = scope.get(SLOT)
            if slot is not None and not slot.is_handed_over:
                slot.release()


def acquire_slot(request: Request, slots: ConnectionSlots, principal: Principal) -> None:
    """Count a stream over HTTP as a socket of its caller; raise if it is past a limit."""
    reason = _acquire_slot(slots, request.scope)
    if reason is not None:
        raise HTTPException(reason.status, reason.reason)
    claim_slot(request, principal)


def _acquire_slot(slots: ConnectionSlots, scope: Scope) -> CloseReason | None:
    """Acquire a slot and put it into the scope, or return the reason to refuse."""
    slot = slots.acquire(client_host(scope))
    if isinstance(slot, ConnectionSlot):
        scope[SLOT] = slot
        return None
    logger.warning("refused reason=%s client=%s: no slot", slot.reason, client_label(scope))
    return slot


def claim_slot(connection: HTTPConnection, principal: Principal) -> None:
    """Count a connection's slot for its caller; raise if the caller has reached its limit.

    One without a credential counts for its address alone.
    """
    slot: ConnectionSlot | None = connection.scope.get(SLOT)
    if principal.is_anonymous:
        return
    if slot is not None and not slot.claim_for(principal.identity):
        problem = TooManyConnections(f"{principal.subject!r} has as many sockets as it may")
        raise refusal(connection, problem)


def hand_over_slot(connection: HTTPConnection, session: Session) -> None:
    """Make a session release the slot: it may outlive the call of its route."""
    slot: ConnectionSlot | None = connection.scope.get(SLOT)
    if slot is not None:
        session.slot = slot
        slot.is_handed_over = True
