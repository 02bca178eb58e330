"""The server under test: its address, its handshake, and its own protocol."""

import base64
import hashlib
import os
import socket
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from itemwire.bench.errors import BenchError, Unreachable

ITEMWIRE_PATH: Final = "/items/{item}/ws"
ENVELOPES: Final = "itemwire.v1.json"
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
KEY: Final = base64.b64encode(os.urandom(16))
ACCEPT: Final = base64.b64encode(
    hashlib.sha1(KEY + GUID, usedforsecurity=False).digest()
)  # RFC 6455 4.2.2


@dataclass(frozen=True, slots=True)
class Dialect:
    """A server's own protocol on top of WebSocket."""

    message: str = "{marker}"
    """The frame that publishes a message, with `{marker}` in place of the message."""

    hello: tuple[tuple[str, str], ...] = ()
    """The first steps, in order: wait for a frame that starts with one text, send the other."""

    replies: dict[str, str] = field(default_factory=dict[str, str])
    """Answers to frames that start with a text, such as pings of the server's own protocol."""


PLAIN: Final = Dialect()
DIALECTS: Final[dict[str | None, Dialect]] = {
    ENVELOPES: Dialect(message='{"type":"publish","data":"{marker}"}')
}


@dataclass(frozen=True, slots=True)
class BenchTarget:
    """A server, and how clients connect to it."""

    address: str
    port: int
    host: str
    """The value of the `Host` header."""

    tls: ssl.SSLContext | None = None
    path: str = ITEMWIRE_PATH
    more_ports: tuple[int, ...] = ()
    """The ports of other nodes: connections are spread over all nodes in turn."""

    tokens: tuple[str, ...] = field(default=(), repr=False)
    subprotocol: str | None = None
    dialect: Dialect = PLAIN

    @property
    def server_name(self) -> str | None:
        """The name that the server's certificate must be for; None without TLS."""
        return urlsplit(f"//{self.host}").hostname if self.tls else None

    def port_of(self, connection: int) -> int:
        """Return the port of the node for a connection."""
        ports = (self.port, *self.more_ports)
        return ports[connection % len(ports)]

    def request(self, item: int, connection: int) -> bytes:
        """Return the handshake of one connection; tokens are used in turn."""
        token = self.tokens[connection % len(self.tokens)] if self.tokens else ""
        path = self.path.replace("{item}", quote(f"bench:{item}")).replace("{token}", token)
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {self.host}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY.decode()}",
        ]
        if token and "{token}" not in self.path:
            lines.append(f"Authorization: Bearer {token}")
        if self.subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {self.subprotocol}")
        return "\r\n".join([*lines, "", ""]).encode()


def target_of(
    url: str,
    *,
    path: str = ITEMWIRE_PATH,
    tokens: tuple[str, ...] = (),
    subprotocol: str | None = None,
    dialect: Dialect | None = None,
) -> BenchTarget:
    """Parse a URL (`http`, `https`, `ws`, `wss`, or only a host) and resolve it once.

    Raises `BenchError` if it is not a URL, `Unreachable` if its host is unknown.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
        raise BenchError(f"{url} is not a server's address: use http://host:port")
    secure = parts.scheme in {"https", "wss"}
    try:
        port = parts.port or (443 if secure else 80)
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        found.sort(key=lambda entry: entry[0] != socket.AF_INET)  # IPv4 first: `localhost` has both
    except (OSError, ValueError) as error:
        raise Unreachable(f"cannot resolve {url}: {error}") from error
    return BenchTarget(
        address=str(found[0][4][0]),
        port=port,
        host=parts.netloc.rpartition("@")[2],
        tls=ssl.create_default_context() if secure else None,
        path=parts.path.rstrip("/") + path,
        tokens=tokens,
        subprotocol=subprotocol,
        dialect=dialect or DIALECTS.get(subprotocol, PLAIN),
    )
