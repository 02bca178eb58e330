"""Opens sockets by the library `websockets`: the one place that knows it."""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlencode

from typing_extensions import override
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from itemwire.client.endings import NO_STATUS

CLOSE_SECONDS: Final = 2.0
"""How long the server has to answer a close."""

Proxy = str | Literal[True] | None
"""A proxy's URL, that of the environment, or none."""


@dataclass(frozen=True, slots=True)
class SocketRequest:
    """What a handshake is made of; its headers hold the token."""

    url: str
    subprotocols: Sequence[str]
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    tls: ssl.SSLContext | None = None
    proxy: Proxy = None


class SocketClosed(Exception):
    """The connection is over, by a close frame or without one."""

    def __init__(self, code: int = NO_STATUS, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class HandshakeDenied(Exception):
    """The handshake was answered with an HTTP status."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"refused with HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class ClientSocket(Protocol):
    """An open socket, whose methods raise `SocketClosed` once it is over."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose."""
        ...

    async def receive(self) -> str | bytes:
        """Return the next frame; one that is cancelled loses none."""
        ...

    async def send(self, frame: str | bytes) -> None:
        """Send a frame: text as a text frame, bytes as a binary one."""
        ...

    async def close(self) -> None:
        """Close it with 1000, and wait a short time for the answer."""
        ...

    def abort(self) -> None:
        """Drop it, because nobody is there any more."""
        ...


Connect = Callable[[SocketRequest], Awaitable[ClientSocket]]
"""Opens a socket; raises `HandshakeDenied`, or OSError where nobody answers."""


class _Connect(connect):
    """Follows no redirect, as browsers do not: it would give the token to whoever is named."""

    @override
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_websocket(request: SocketRequest) -> ClientSocket:
    """Open a socket; the client itself bounds the time that this takes, and looks for silence."""
    options: dict[str, Any] = {} if request.tls is None else {"ssl": request.tls}
    try:
        connection = await _Connect(
            request.url,
            additional_headers=request.headers,
            subprotocols=[Subprotocol(name) for name in request.subprotocols],
            compression=None,
            proxy=request.proxy,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
            max_size=None,  # the server bounds what is published
            **options,
        )
    except InvalidStatus as error:
        answer = error.response
        raise HandshakeDenied(
            answer.status_code, dict(answer.headers.raw_items()), bytes(answer.body or b"")
        ) from error
    return _WebSocket(connection)


class _WebSocket(ClientSocket):
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    @override
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    @override
    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise _closed(error) from error

    @override
    async def send(self, frame: str | bytes) -> None:
        try:
            await self._connection.send(frame)
        except ConnectionClosed as error:
            raise _closed(error) from error

    @override
    async def close(self) -> None:
        await self._connection.close()

    @override
    def abort(self) -> None:
        self._connection.transport.abort()


def _closed(error: ConnectionClosed) -> SocketClosed:
    if error.rcvd is None:
        return SocketClosed()
    return SocketClosed(error.rcvd.code, error.rcvd.reason)


def socket_url(url: str, **query: int) -> str:
    """Return the address of the socket for many items below a server's URL."""
    scheme, separator, rest = url.partition("://")
    if scheme not in _SCHEMES or not rest or "?" in rest or "#" in rest:
        raise ValueError("the URL must be http(s):// or ws(s)://, without a query")
    return f"{_SCHEMES[scheme]}{separator}{rest.rstrip('/')}/ws?{urlencode(query)}"


_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
