"""Serves many items on one socket; the client joins each on its own."""

from fastapi import APIRouter, WebSocket

from itemwire.authorization.reauthorization import rights_of
from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.sessions.many_items import ManyItemsSession
from itemwire.dependencies import assembly_of, options_asked
from itemwire.middleware.admission import claim_slot
from itemwire.routes.items import item_channel
from itemwire.rules.host import HostFunctions, SocketHost
from itemwire.transports.asgi import serve_socket
from itemwire.wire import choose_envelopes
from itemwire.wire.base import Codec
from itemwire_auth.dependencies import CurrentPrincipal

router = APIRouter()


@router.websocket("/ws")
async def many_items(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    """Serve the items that the client joins, each by the rules of the item's own route."""
    options = options_asked(websocket)
    claim_slot(websocket, principal)
    assembly = assembly_of(websocket)
    node = assembly.node
    rights = rights_of(websocket, assembly.reauthorizer, item_channel)

    def open_socket(codec: Codec, transport: Transport) -> ManyItemsSession:
        connection = node.connect(principal, codec, transport, options)
        session = ManyItemsSession(node, connection, rights)
        functions = HostFunctions.of(websocket)
        if functions is not None:
            session.host = SocketHost(functions, rights)
        return session

    await serve_socket(websocket, open_socket, choose_envelopes)
