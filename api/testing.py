"""A real server for tests: this application, or any, on a port of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from api.server import bind, server_of, url_of
from api.settings import Settings

WAIT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a server said no: the HTTP status of the handshake, then the close frame if any."""

    status: int
    code: int | None = None
    reason: str = ""
    body: bytes = b""


class LiveServer:
    """A running server, and clients for it."""

    def __init__(self, url: str, server: uvicorn.Server) -> None:
        self.url = url
        self.server = server

    def socket_url(self, path: str) -> str:
        """Give the WebSocket URL of a path."""
        return self.url.replace("http", "ws", 1) + path

    def connect(
        self,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        subprotocols: tuple[str, ...] = (),
    ) -> ClientConnection:
        """Open a socket, as a client that is no browser."""
        return connect(
            self.socket_url(path),
            additional_headers=headers,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            open_timeout=WAIT_SECONDS,
            max_size=None,
            proxy=None,
            compression=None,
        )

    def refusal(
        self,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        subprotocols: tuple[str, ...] = (),
    ) -> Refusal:
        """Open a socket that must be refused, and tell how; AssertionError if it is not."""
        try:
            with self.connect(path, headers=headers, subprotocols=subprotocols) as connection:
                frame = connection.recv(timeout=WAIT_SECONDS)
        except InvalidStatus as error:
            return Refusal(error.response.status_code, body=bytes(error.response.body or b""))
        except ConnectionClosed as error:
            if error.rcvd is None:
                return Refusal(101)
            return Refusal(101, error.rcvd.code, error.rcvd.reason)
        raise AssertionError(f"not refused: received {frame!r}")


@contextmanager
def live_server(settings: Settings, server: uvicorn.Server | None = None) -> Iterator[LiveServer]:
    """Run a server in a thread on a free port, Itemwire's own unless another is given."""
    server = server or server_of(settings)
    listener = bind(settings.model_copy(update={"port": 0}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield LiveServer(url_of(listener), server)
    finally:
        server.should_exit = True
        thread.join(WAIT_SECONDS)
