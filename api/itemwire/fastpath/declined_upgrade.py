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


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """Return a parser as uvicorn makes it for each connection."""
    parser = httptools.HttpRequestParser(protocol)
    if hasattr(parser, "set_dangerous_leniencies"):  # since httptools 0.6.3
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
