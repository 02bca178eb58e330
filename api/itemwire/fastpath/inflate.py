"""Inflates one message of a client, no further than a message may be long."""

import zlib
from typing import Final

TAIL: Final = b"\x00\x00\xff\xff"  # what a flush ends with; the sender leaves it out (RFC 7692 7.2)


class TooLong(Exception):
    """A message is longer than it may be, however short it travelled."""


def inflate(payload: bytes, max_size: int) -> bytes:
    """Give the message that was compressed; TooLong past the size, ValueError if it is none."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        message = inflater.decompress(payload + TAIL, max_size + 1)
    except zlib.error as error:
        raise ValueError(f"no deflated message: {error}") from error
    if len(message) > max_size:
        raise TooLong
    return message
