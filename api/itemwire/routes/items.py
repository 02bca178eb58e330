"""The channel of one item on one socket."""

from typing import Final

from fastapi import APIRouter, WebSocket
from starlette.convertors import PathConvertor, register_url_convertor

from itemwire.authorization.reauthorization import reauthorization_of
from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.delivery.recovery import LIVE
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.sessions.item import ItemSession
from itemwire.dependencies import SubscribeGrant, node_of, spend, start_asked
from itemwire.middleware.admission import claim_slot
from itemwire.transports.asgi import drive
from itemwire.wire.base import Codec

router = APIRouter()


class AnyText(PathConvertor):
    """What may stand where an item id should: all of it, so that it is refused as such.

    Starlette's own convertors leave out slashes or line breaks, and what no route matches is an
    HTTP 403 that a browser shows as 1006 without a reason.
    """

    regex = "(?s:.*)"


register_url_convertor("any_text", AnyText())

ITEM_PATH: Final = "/items/{item_id:any_text}"


@router.websocket(ITEM_PATH + "/ws")
async def item_channel(websocket: WebSocket, grant: SubscribeGrant) -> None:
    """Join the item's channel; the socket stays there until the client leaves."""
    start = start_asked(websocket, grant)
    if start != LIVE:
        spend(websocket, grant.principal, RequestKind.HISTORY, 0)
    claim_slot(websocket, grant.principal)
    node = node_of(websocket)
    reauthorization = reauthorization_of(websocket)

    def join(codec: Codec, transport: Transport) -> ItemSession:
        connection = node.connect(grant.principal, codec, transport)
        return ItemSession(node, connection, grant, start, reauthorization)

    await drive(websocket, join)
