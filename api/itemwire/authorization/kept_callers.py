"""Keeps of an item's socket what is needed to ask dependencies about each message.

A socket whose application answers no requests and checks no messages keeps less: its dependencies
are asked again about a newer token alone, which then replaces the credential of the handshake.
"""

from fastapi import WebSocket
from starlette.types import Scope
from typing_extensions import override

from itemwire.authorization.reauthorization import (
    KeptHandshake,
    Reauthorization,
    Reauthorizer,
)
from itemwire.authorization.routes import SocketRoute
from itemwire.channels.reauthorization import Verdict
from itemwire_auth.authenticator import IDENTITY
from itemwire_auth.principal import Grant, Identity, Principal


class KeptCaller(Reauthorization):
    """What a socket of one item presented at its handshake, or was last refreshed with."""

    __slots__ = ("_identity",)

    def __init__(self, owner: Reauthorizer, route: SocketRoute, scope: Scope) -> None:
        super().__init__(owner, route, scope)
        self._handshake = KeptHandshake.of(scope, route.inputs, owner.counters)
        self._identity: Identity | None = scope.get(IDENTITY)

    @override
    async def _work_out(self, token: str) -> Verdict:
        verdict = await super()._work_out(token)
        if isinstance(verdict, Grant) and self._identity in (None, verdict.principal.identity):
            # From now on the new token alone speaks for the caller.
            self._handshake = self._handshake.with_token(token, self._route, self._owner.counters)
        return verdict

    def about(self, principal: Principal, _item_id: str) -> WebSocket | None:
        """Return a socket to ask about its item; None if too little of the handshake is kept."""
        return self._handshake.of_caller(principal, self._route)


def kept_caller_of(websocket: WebSocket, owner: Reauthorizer) -> KeptCaller | None:
    """Keep what dependencies read; None on a route that `add_sockets` has not made."""
    route = websocket.scope.get("route")
    return KeptCaller(owner, route, websocket.scope) if isinstance(route, SocketRoute) else None
