"""Cuts what a connection has received into pieces that hold at most one request each.

One read of 256 KiB may hold 9,000 pipelined requests, and each takes 3 KB from when it is parsed
until it is answered. So data is parsed in pieces, and only up to a request that must wait.
"""

from typing import Final

PIECE_BYTES: Final = 4 * 1024
LEAST_PIECE_BYTES: Final = 24  # for what holds nothing but line breaks; no request is that short
END_OF_HEAD: Final = b"\r\n\r\n"


def end_of_piece(data: bytes, start: int) -> int:
    """Return where the piece that starts here ends: with a head, if it has one."""
    end = start + PIECE_BYTES
    found = data.find(END_OF_HEAD, start + LEAST_PIECE_BYTES - len(END_OF_HEAD), end)
    return end if found < 0 else found + len(END_OF_HEAD)
