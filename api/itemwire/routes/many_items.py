"""Many items on one socket, each joined on its own."""

from fastapi import APIRouter, WebSocket

from api.admission import claim_place
from api.channels.items_session import ItemsSession
from api.channels.outbox import Transport
from api.dependencies import node_of
from api.driver import drive
from api.reauthorization import rights_of
from api.routes.items import item_channel
from api.wire import choose_envelopes
from api.wire.base import Codec
from auth.dependencies import CurrentPrincipal

router = APIRouter()


@router.websocket("/ws")
async def many_items(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    """Hear the items that the client joins, by the rules of the item's own route."""
    claim_place(websocket, principal)
    node = node_of(websocket)
    rights = rights_of(websocket, item_channel)

    def open_socket(codec: Codec, transport: Transport) -> ItemsSession:
        return ItemsSession(node, node.connect(principal, codec, transport), rights)

    await drive(websocket, open_socket, choose_envelopes)
