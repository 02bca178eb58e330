"""A connectivity probe: a credential gets through and frames come back, or not."""

from fastapi import APIRouter, WebSocket

from api.admission import claim_place
from api.channels.outbox import Transport
from api.channels.session import EchoSession
from api.dependencies import node_of
from api.driver import drive
from api.wire.base import Codec
from auth.dependencies import CurrentPrincipal

router = APIRouter()


@router.websocket("/ws/echo")
async def echo(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    """Send every message back as it came."""
    claim_place(websocket, principal)
    node = node_of(websocket)

    def open_echo(codec: Codec, transport: Transport) -> EchoSession:
        return EchoSession(node, node.connect(principal, codec, transport))

    await drive(websocket, open_echo)
