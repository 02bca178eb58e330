"""Serves the figures of all nodes on a socket, once a second."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, WebSocket

from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.sessions.operations import OperationsSession
from itemwire.dependencies import assembly_of, options_asked
from itemwire.middleware.admission import claim_slot
from itemwire.transports.asgi import serve_socket
from itemwire.wire import CODECS, PLAIN
from itemwire.wire.base import Codec
from itemwire_auth.dependencies import WatchingAdministrator

WATCH_PATH: Final = "/admin/ops/ws"

router = APIRouter()


@router.websocket(WATCH_PATH)
async def watch(websocket: WebSocket, admin: WatchingAdministrator) -> None:
    """Send the hour behind, and then the figures of each second, until the login ends."""
    options = options_asked(websocket)
    claim_slot(websocket, admin)
    assembly = assembly_of(websocket)
    node = assembly.node

    def open_socket(codec: Codec, transport: Transport) -> OperationsSession:
        connection = node.connect(admin, codec, transport, options)
        return OperationsSession(node, connection, assembly.operations.feed.begin)

    await serve_socket(websocket, open_socket, _choose_plain)


def _choose_plain(offered: Sequence[str]) -> tuple[Codec, str | None]:
    """Return the codec of bare payloads; a page that offers any subprotocol is answered one."""
    return PLAIN, next((one for one in offered if one in CODECS), None)
