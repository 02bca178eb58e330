"""A connectivity probe: a credential gets through and frames come back, or not."""

from fastapi import APIRouter, WebSocket

from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.sessions.echo import EchoSession
from itemwire.dependencies import node_of
from itemwire.middleware.admission import claim_slot
from itemwire.transports.asgi import drive
from itemwire.wire.base import Codec
from itemwire_auth.dependencies import CurrentPrincipal

router = APIRouter()


@router.websocket("/ws/echo")
async def echo(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    """Send every message back as it came."""
    claim_slot(websocket, principal)
    node = node_of(websocket)

    def open_echo(codec: Codec, transport: Transport) -> EchoSession:
        return EchoSession(node, node.connect(principal, codec, transport))

    await drive(websocket, open_echo)
