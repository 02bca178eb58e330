"""The channel of one item on one socket."""

from fastapi import APIRouter, WebSocket
from starlette.convertors import PathConvertor, register_url_convertor

from api.channels.outbox import Transport
from api.channels.session import ItemSession
from api.dependencies import CurrentJoining, CurrentNode
from api.driver import drive, release_dependencies
from api.wire import choose_codec

router = APIRouter()


class AnyText(PathConvertor):
    """What may stand where an item id should: all of it, so that it is refused as such.

    Starlette's own convertors leave out slashes or line breaks, and what no route matches is an
    HTTP 403 that a browser shows as 1006 without a reason.
    """

    regex = "(?s:.*)"


register_url_convertor("any_text", AnyText())


@router.websocket("/items/{item_id:any_text}/ws")
async def item_channel(websocket: WebSocket, joining: CurrentJoining, node: CurrentNode) -> None:
    """Join the item's channel, stay until the client leaves."""
    codec, subprotocol = choose_codec(websocket.scope["subprotocols"])
    await release_dependencies(websocket)
    await websocket.accept(subprotocol)

    def join(transport: Transport) -> ItemSession:
        connection = node.connect(joining.grant.principal, codec, transport)
        return ItemSession(node, connection, joining.grant, joining.replay)

    await drive(websocket, join)
