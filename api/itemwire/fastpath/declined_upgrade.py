"""Reads a request again whose upgrade is declined, as if it had not asked for one.

The parser takes what follows the head of an upgrade for another protocol. RFC 9110 section 7.8 lets
a server ignore an upgrade, and then a body follows: Java's HttpClient asks for `h2c` with each.
"""

from typing import NamedTuple

import httptools

from itemwire.fastpath.handshake import Headers


class DeclinedUpgrade(NamedTuple):
    """The head of a request whose upgrade is declined."""

    method: bytes
    target: bytes
    version: str
    headers: Headers

    def render(self) -> bytes:
        """Return the head without its Upgrade field."""
        line = b"%s %s HTTP/%s\r\n" % (self.method, self.target, self.version.encode())
        kept = (field for field in self.headers if field[0] != b"upgrade")
        return line + b"".join(b"%s: %s\r\n" % field for field in kept) + b"\r\n"


def is_handshake(method: bytes, version: str, headers: Headers) -> bool:
    """Return whether a request asks for a WebSocket as RFC 6455 section 4.2.1 says.

    RFC 9110 section 7.8 has the upgrade of HTTP/1.0 ignored.
    """
    if method != b"GET" or version == "1.0":
        return False
    return b"websocket" in _listed(b"upgrade", headers) and (
        b"upgrade" in _listed(b"connection", headers)
    )


def _listed(name: bytes, headers: Headers) -> list[bytes]:
    """Return the members of a list header in lower case; several lines are one list."""
    lines = [value for found, value in headers if found == name]
    return [member.strip() for line in lines for member in line.lower().split(b",")]


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """Return a parser as uvicorn makes it for each connection."""
    parser = httptools.HttpRequestParser(protocol)
    if hasattr(parser, "set_dangerous_leniencies"):  # since httptools 0.6.3
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
