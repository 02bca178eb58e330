"""Serves the channel of one item on one socket."""

from typing import Final

from fastapi import APIRouter, WebSocket

from itemwire.authorization.kept_callers import kept_caller_of
from itemwire.authorization.reauthorization import Reauthorization, reauthorization_of
from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.delivery.recovery import LIVE
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.sessions.item import ItemSession
from itemwire.dependencies import (
    SubscribeGrant,
    assembly_of,
    options_asked,
    spend,
    start_asked,
)
from itemwire.middleware.admission import claim_slot
from itemwire.routes.any_text import ANY_TEXT
from itemwire.rules.host import HostFunctions, SocketHost
from itemwire.transports.asgi import serve_socket
from itemwire.wire.base import Codec

router = APIRouter()


ITEM_PATH: Final = f"/items/{{item_id:{ANY_TEXT}}}"


@router.websocket(ITEM_PATH + "/ws")
async def item_channel(websocket: WebSocket, grant: SubscribeGrant) -> None:
    """Join the item's channel, and stay until the client leaves or the token ends."""
    options, start = options_asked(websocket), start_asked(websocket, grant)
    if start != LIVE:
        spend(websocket, grant.principal, RequestKind.HISTORY, 0)
    claim_slot(websocket, grant.principal)
    assembly = assembly_of(websocket)
    node = assembly.node
    functions = HostFunctions.of(websocket)
    caller = kept_caller_of(websocket, assembly.reauthorizer) if functions else None

    def join(codec: Codec, transport: Transport) -> ItemSession:
        connection = node.connect(grant.principal, codec, transport, options)
        reauthorization: Reauthorization | None = caller
        if caller is None and (codec.has_envelopes or node.rechecks is not None):
            # Of the others nobody asks again: a plain client has no word for a refresh.
            reauthorization = reauthorization_of(websocket, assembly.reauthorizer)
        session = ItemSession(node, connection, grant, start, reauthorization)
        if functions is not None and caller is not None:
            session.host = SocketHost(functions, caller)
        return session

    await serve_socket(websocket, join)
