"""Keeps of an item's socket what is needed to ask dependencies about each message.

A socket whose application answers no requests and checks no messages keeps less: its dependencies
are asked again about a newer token alone, which then replaces the credential of the handshake.
"""

from fastapi import WebSocket
from starlette.types import Scope

from itemwire.authorization.reauthorization import Reauthorization, Reauthorizer
from itemwire.authorization.routes import SocketRoute
from itemwire_auth.principal import Principal


class KeptCaller(Reauthorization):
    """What a socket of one item presented at its handshake, or was last refreshed with."""

    __slots__ = ()

    def __init__(self, owner: Reauthorizer, route: SocketRoute, scope: Scope) -> None:
        super().__init__(owner, route, scope, keeps_credential=True)

    def about(self, principal: Principal, _item_id: str) -> WebSocket | None:
        """Return a socket to ask about its item; None if too little of the handshake is kept."""
        return self._handshake.of_caller(principal, self._route)


def kept_caller_of(websocket: WebSocket, owner: Reauthorizer) -> KeptCaller | None:
    """Keep what dependencies read; None on a route that `add_sockets` has not made."""
    route = websocket.scope.get("route")
    return KeptCaller(owner, route, websocket.scope) if isinstance(route, SocketRoute) else None
