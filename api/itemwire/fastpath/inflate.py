"""Inflates one compressed message, and stops at the size limit (decompression bombs)."""

import zlib
from typing import Final

# The end of a flush: the sender strips it and the receiver appends it (RFC 7692 section 7.2).
TAIL: Final = b"\x00\x00\xff\xff"


class TooLong(Exception):
    """A message exceeds the size limit once it is inflated."""


def inflate(payload: bytes, max_size: int) -> bytes:
    """Return the inflated message.

    Raises `TooLong` past `max_size` bytes, `ValueError` if the payload is not valid deflate data.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        message = inflater.decompress(payload + TAIL, max_size + 1)
    except zlib.error as error:
        raise ValueError(f"not a deflated message: {error}") from error
    if len(message) > max_size:
        raise TooLong
    return message
