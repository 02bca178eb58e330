"""WebSocket frames as a client has them: sent masked, received several to a chunk."""

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

# RFC 6455 5.3 wants a new mask each time, against scripts that talk to proxies. Nobody else chooses
# what is sent here, and a server does the same work for any mask.
MASK: Final = os.urandom(4)


class Frame(NamedTuple):
    """One frame of the server."""

    opcode: int
    payload: bytes
    size: int
    """The bytes that it took on the wire, header and all."""


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Make a masked frame, never fragmented."""
    length = len(payload)
    if length <= SHORT_LENGTH:
        head = bytes((FIN | opcode, MASKED | length))
    elif length < 1 << 16:
        head = bytes((FIN | opcode, MASKED | LENGTH_16)) + length.to_bytes(2)
    else:
        head = bytes((FIN | opcode, MASKED | LENGTH_64)) + length.to_bytes(8)
    return head + MASK + masked(payload)


def masked(payload: bytes) -> bytes:
    """Apply the mask to a payload, or take it off."""
    length = len(payload)
    key = (MASK * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(length)


def split_frames(data: bytes) -> tuple[list[Frame], bytes]:
    """Give the whole frames of a server's bytes, and the beginning of one that follows them."""
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
    """Say what a close frame says: its code and its reason."""
    if len(payload) < 2:  # noqa: PLR2004 - RFC 6455 5.5.1: a code has two bytes
        return "closed without a code"
    reason = payload[2:].decode(errors="replace")
    return f"closed with {int.from_bytes(payload[:2])} {reason}".rstrip()


class Stationery:
    """Makes the messages of one window: a template with a marker, alike but for a number."""

    __slots__ = ("_after", "_before", "_head", "_key", "_length", "mark")

    def __init__(self, template: str, mark: bytes, size: int) -> None:
        """`{marker}` in the template becomes mark and number, padded to `size` bytes in all."""
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
        """Give the masked frame of the message with this number."""
        payload = self._before + NUMBER % number + self._after
        return self._head + (int.from_bytes(payload) ^ self._key).to_bytes(self._length)


NUMBER: Final = b"%08x;"
NUMBER_DIGITS: Final = 8


def mark_of(window: int) -> bytes:
    """Give the mark of a window: what is late from another is not taken for this one's."""
    return b"~iwb%02x:" % (window & 0xFF)


def numbers_in(payload: bytes, mark: bytes) -> list[int]:
    """Find the numbers of all messages of a window in a payload, whatever is around them."""
    numbers: list[int] = []
    at = payload.find(mark)
    while at >= 0:
        start = at + len(mark)
        numbers.append(int(payload[start : start + NUMBER_DIGITS], 16))
        at = payload.find(mark, start)
    return numbers
