"""The servers for the WebSocket cases: ours, attached and detached, and uvicorn's."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import uvicorn
from typing_extensions import override
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from itemwire.fastpath.protocol import WebSocketProtocol
from itemwire.serving.server import server_of
from itemwire.settings import Settings
from itemwire.testing import live_server
from tests.certificates import localhost_certificate
from tests.conftest import SECRET
from tests.fastpath.served import CLOSE_SECONDS, head, read_until, serving
from tests.scenarios.clients import token

WAIT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server with an echo, and how far it can be held to the letter."""

    server: uvicorn.Server
    path: str
    prompt: bool = False  # echoes before it reads on: nothing sent ahead of a fault is lost
    stock: bool = False  # uvicorn's class, the control
    tls: ssl.SSLContext | None = None
    transports: list[asyncio.Transport] = field(default_factory=list)  # of sockets, as they came

    @property
    def address(self) -> tuple[str, int]:
        """Say where it listens."""
        name: tuple[str, int] = self.server.servers[0].sockets[0].getsockname()
        return name

    def dial(self, data: bytes = b"") -> socket.socket:
        """Open a connection that sends each octet at once."""
        client = socket.create_connection(self.address, timeout=WAIT_SECONDS)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            client = self.tls.wrap_socket(client, server_hostname="localhost")
        client.sendall(data)
        return client

    def upgrade(self, *headers: str) -> socket.socket:
        """Open a WebSocket and read no further than the 101."""
        client = self.dial(head(self.path, *headers))
        answer = read_until(client, b"\r\n\r\n", at_once=1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return client

    def until_empty(self) -> None:
        """Wait until the server has no connection and no task left."""
        state = self.server.server_state
        wait_until(lambda: not state.connections and not state.tasks)


def wait_until(is_so: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait for what only another thread can tell; TimeoutError if it does not come."""
    never = threading.Event()
    for _ in range(int(seconds * 200)):
        if is_so():
            return
        never.wait(0.005)
    raise TimeoutError(f"not within {seconds} s")


@contextmanager
def ours(**settings: Any) -> Iterator[Target]:  # noqa: ANN401 - uvicorn's and served's
    """Run an ordinary ASGI echo on our classes."""
    with serving(**settings) as site:
        yield Target(site.server, "/echo", transports=site.transports)


@contextmanager
def detached(
    *,
    limits: dict[str, object] | None = None,
    close_seconds: float = CLOSE_SECONDS,
    **settings: object,
) -> Iterator[Target]:
    """Run Itemwire's own echo, whose session has the socket to itself."""
    transports: list[asyncio.Transport] = []

    class Observed(WebSocketProtocol):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(cast("asyncio.Transport", transport))
            super().connection_made(transport)

    for name, value in {"close_seconds": close_seconds, **(limits or {})}.items():
        setattr(Observed, name, value)
    server = server_of(Settings(secret=SECRET, _env_file=None))
    for name, value in {"ws": Observed, **settings}.items():
        setattr(server.config, name, value)
    path = f"/ws/echo?token={token(lifetime=3600)}"  # for all tests of a module
    with live_server(Settings(secret=SECRET, _env_file=None), server) as running:
        with running.connect(path):
            pass  # it is up: this connected
        target = Target(server, path, prompt=True, transports=transports)
        target.until_empty()
        transports.clear()
        yield target


@contextmanager
def tls(**settings: Any) -> Iterator[Target]:  # noqa: ANN401 - uvicorn's and served's
    """Run an ordinary ASGI echo on our classes, under TLS."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder) / "localhost.pem"
        certificate.write_bytes(localhost_certificate())
        trusting = ssl.create_default_context(cafile=str(certificate))
        with serving(ssl_certfile=str(certificate), **settings) as site:
            yield Target(site.server, "/echo", tls=trusting, transports=site.transports)


@contextmanager
def stock(**settings: Any) -> Iterator[Target]:  # noqa: ANN401 - uvicorn's and served's
    """Run an ordinary ASGI echo on uvicorn's classes."""
    with serving(WebSocketsSansIOProtocol, "httptools", **settings) as site:
        yield Target(site.server, "/echo", stock=True, transports=site.transports)


OURS: Final[dict[str, Callable[..., AbstractContextManager[Target]]]] = {
    "ours": ours,
    "detached": detached,
}
TARGETS: Final = {**OURS, "tls": tls, "stock": stock}
