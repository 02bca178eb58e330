"""picows, whose frame parser is in C, on uvloop: a list of transports per item."""

from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from benchmarks.peers.serving import HOST, run
from benchmarks.tokens import subject_of

watching: defaultdict[str, list[WSTransport]] = defaultdict(list)


class Watcher(WSListener):
    """Sends each message to all subscribers of the item."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.item = watching[path]

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Join."""
        self.item.append(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Send a text message on."""
        if frame.msg_type == WSMsgType.TEXT:
            message = frame.get_payload_as_bytes()
            for other in self.item:
                other.send(WSMsgType.TEXT, message)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave."""
        self.item.remove(transport)


def check(request: WSUpgradeRequest) -> WSListener | None:
    """Refuse a handshake without a valid token."""
    url = urlsplit(request.path.decode())
    token = parse_qs(url.query).get("token", [""])[0]
    return Watcher(url.path) if subject_of(token) is not None else None


async def serve_forever(port: int) -> None:
    """Serve until stopped."""
    server = await ws_create_server(check, HOST, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    run(lambda port: uvloop.run(serve_forever(port)))
