"""What is measured: where it is, how it is asked for a socket, what it wants to hear."""

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
    """What a server's own protocol adds to WebSocket."""

    message: str = "{marker}"
    """What publishes; `{marker}` is where the message goes."""

    hello: tuple[tuple[str, str], ...] = ()
    """What is sent once a frame begins so, in order: (wait for, then say); "" says nothing."""

    replies: dict[str, str] = field(default_factory=dict)
    """What a frame is answered with at once, such as a ping above WebSocket's own."""


PLAIN: Final = Dialect()
DIALECTS: Final[dict[str | None, Dialect]] = {
    ENVELOPES: Dialect(message='{"type":"publish","data":"{marker}"}')
}


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and how a client of it speaks."""

    address: str
    port: int
    host: str
    """As the `Host` header has it."""

    tls: ssl.SSLContext | None = None
    path: str = ITEMWIRE_PATH
    more_ports: tuple[int, ...] = ()
    """Where other nodes listen: connections go to each node in turn."""

    tokens: tuple[str, ...] = field(default=(), repr=False)
    subprotocol: str | None = None
    dialect: Dialect = PLAIN

    @property
    def server_name(self) -> str | None:
        """The name that the server's certificate must have; None without TLS."""
        return urlsplit(f"//{self.host}").hostname if self.tls else None

    def port_of(self, connection: int) -> int:
        """Give the port of the node that a connection goes to."""
        ports = (self.port, *self.more_ports)
        return ports[connection % len(ports)]

    def request(self, item: int, connection: int) -> bytes:
        """Give the handshake of one connection; tokens are used in turn."""
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
) -> Target:
    """Read a URL (`http`, `https`, `ws`, `wss`, or only a host) and look its address up once."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
        raise BenchError(f"{url} is no address: give http://host:port")
    secure = parts.scheme in {"https", "wss"}
    try:
        port = parts.port or (443 if secure else 80)
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        found.sort(key=lambda entry: entry[0] != socket.AF_INET)  # `localhost` has both
    except (OSError, ValueError) as error:
        raise Unreachable(f"no address for {url}: {error}") from error
    return Target(
        address=str(found[0][4][0]),
        port=port,
        host=parts.netloc.rpartition("@")[2],
        tls=ssl.create_default_context() if secure else None,
        path=parts.path.rstrip("/") + path,
        tokens=tokens,
        subprotocol=subprotocol,
        dialect=dialect or DIALECTS.get(subprotocol, PLAIN),
    )
