"""A probe that shows whether a credential is accepted and frames get through."""

from fastapi import APIRouter, WebSocket

from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.sessions.echo import EchoSession
from itemwire.dependencies import node_of, options_asked
from itemwire.middleware.admission import claim_slot
from itemwire.transports.asgi import serve_socket
from itemwire.wire.base import Codec
from itemwire_auth.dependencies import CurrentPrincipal

router = APIRouter()


@router.websocket("/ws/echo")
async def echo(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    """Send every message back unchanged."""
    options = options_asked(websocket)
    claim_slot(websocket, principal)
    node = node_of(websocket)

    def open_echo(codec: Codec, transport: Transport) -> EchoSession:
        return EchoSession(node, node.connect(principal, codec, transport, options))

    await serve_socket(websocket, open_echo)
