"""WebSocket frames of a client: sent with a mask, received several in a chunk."""

import os
from typing import Final, NamedTuple

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
MASKED: Final = 0x80
SHORT_HEAD: Final = 2
SHORT_LENGTH: Final = 125
LENGTH_16: Final = 126
LENGTH_64: Final = 127

# RFC 6455 section 5.3 demands a new mask for each frame, so that a script cannot choose the bytes
# that a proxy sees. No script chooses the payload here, and any mask costs the server the same.
MASK: Final = os.urandom(4)


class Frame(NamedTuple):
    """One frame from the server."""

    opcode: int
    payload: bytes
    size: int
    """The bytes that it took on the wire, with its header."""


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Return a masked, unfragmented frame."""
    length = len(payload)
    if length <= SHORT_LENGTH:
        head = bytes((FIN | opcode, MASKED | length))
    elif length < 1 << 16:
        head = bytes((FIN | opcode, MASKED | LENGTH_16)) + length.to_bytes(2)
    else:
        head = bytes((FIN | opcode, MASKED | LENGTH_64)) + length.to_bytes(8)
    return head + MASK + masked(payload)


def masked(payload: bytes) -> bytes:
    """Mask a payload, or unmask it: both are the same operation."""
    length = len(payload)
    key = (MASK * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(length)


def split_frames(data: bytes) -> tuple[list[Frame], bytes]:
    """Return the complete frames in the server's bytes, and the rest, which is incomplete."""
    frames: list[Frame] = []
    at, end = 0, len(data)
    while end - at >= SHORT_HEAD:
        start, length = at + SHORT_HEAD, data[at + 1] & 0x7F
        if length >= LENGTH_16:
            start += 2 if length == LENGTH_16 else 8
            if start > end:
                break
            length = int.from_bytes(data[at + SHORT_HEAD : start])
        after = start + length
        if after > end:
            break
        frames.append(Frame(data[at] & 0x0F, data[start:after], after - at))
        at = after
    return frames, data[at:]


def close_reason(payload: bytes) -> str:
    """Describe a close frame by its code and reason."""
    if len(payload) < 2:  # noqa: PLR2004 - RFC 6455 5.5.1: a code has two bytes
        return "closed without a code"
    reason = payload[2:].decode(errors="replace")
    return f"closed with {int.from_bytes(payload[:2])} {reason}".rstrip()


class Stationery:
    """Makes the messages of one window, which differ only in a number."""

    __slots__ = ("_after", "_before", "_head", "_key", "_length", "mark")

    def __init__(self, template: str, mark: bytes, size: int) -> None:
        """Replace `{marker}` in the template by mark and number, padded to `size` bytes in all."""
        before, _, after = template.partition("{marker}")
        self.mark = mark
        self._before = before.encode() + mark
        padding = size - len(self._before) - len(NUMBER % 0) - len(after.encode())
        self._after = b"x" * max(padding, 0) + after.encode()
        self._length = len(self._before) + len(NUMBER % 0) + len(self._after)
        whole = client_frame(TEXT, bytes(self._length))
        self._head = whole[: len(whole) - self._length]
        self._key = int.from_bytes(whole[len(whole) - self._length :])  # zeros, masked

    def frame(self, number: int) -> bytes:
        """Return the masked frame of the message with this number."""
        payload = self._before + NUMBER % number + self._after
        return self._head + (int.from_bytes(payload) ^ self._key).to_bytes(self._length)


NUMBER: Final = b"%08x;"
NUMBER_DIGITS: Final = 8


def mark_of(window: int) -> bytes:
    """Return the mark of a window, which tells its messages from late ones of other windows."""
    return b"~iwb%02x:" % (window & 0xFF)


def numbers_in(payload: bytes, mark: bytes) -> list[int]:
    """Return the numbers of all messages of a window in a payload, whatever surrounds them."""
    numbers: list[int] = []
    at = payload.find(mark)
    while at >= 0:
        start = at + len(mark)
        numbers.append(int(payload[start : start + NUMBER_DIGITS], 16))
        at = payload.find(mark, start)
    return numbers
