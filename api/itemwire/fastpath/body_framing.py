"""Bounds what a request body is wrapped in: chunk sizes, chunk extensions and trailers."""

from typing import Final

from itemwire.fastpath.handshake import MAX_HEAD_BYTES, MAX_HEADERS

FRAMING_PER_BODY_BYTE: Final = 8  # a chunk of one byte has five bytes around it


class BodyFraming:
    """Counts the bytes of one request that come behind its head and are not its body.

    HTTP bounds none of them, and a parser keeps trailers: one request could fill the memory. RFC
    9112 section 7.1.1 asks a server to limit chunk extensions.
    """

    __slots__ = ("_body", "_framing", "_since_body", "_trailers")

    def __init__(self) -> None:
        self._body = self._framing = self._since_body = self._trailers = 0

    def add(self, received: int, body: int) -> None:
        """Count some bytes that were received, of which so many are body."""
        self._body += body
        self._framing += received - body
        self._since_body = 0 if body else self._since_body + received

    def add_trailer(self) -> None:
        """Count a trailer field."""
        self._trailers += 1

    @property
    def is_excessive(self) -> bool:
        """Return whether there is more of it than the head of a request may have."""
        return (
            self._trailers > MAX_HEADERS
            or self._since_body > MAX_HEAD_BYTES
            or self._framing > MAX_HEAD_BYTES + FRAMING_PER_BODY_BYTE * self._body
        )
