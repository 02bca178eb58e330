"""Parses a client's frames and renders the server's: RFC 6455 section 5, without I/O."""

import struct
from collections.abc import Sequence
from typing import Final

from websockets.frames import EXTERNAL_CLOSE_CODES, CloseCode

from itemwire.fastpath.inflate import TooLong, inflate
from itemwire.messages import Frame

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without a wheel
    from websockets.utils import apply_mask

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
RSV1: Final = 0x40  # on a message's first frame: it is compressed (RFC 7692 section 6)
RSV: Final = 0x70
MASKED: Final = 0x80

# RFC 6455 section 7.4.2: close codes that libraries and applications may define.
FIRST_OWN_CODE: Final = 3000
LAST_OWN_CODE: Final = 4999

WHOLE: Final = frozenset({FIN | TEXT, FIN | BINARY})
"""The first bytes of frames that are a message each, neither fragmented nor compressed."""

OPCODES: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})

BARE_HEAD: Final = 2
MASK: Final = 4
MAX_CONTROL: Final = 125
# RFC 6455 section 5.2: these values of the 7-bit length say that the length follows.
TWO_BYTES: Final = 126
EIGHT_BYTES: Final = 127
WIDTHS: Final = {TWO_BYTES: 2, EIGHT_BYTES: 8}
SHORT_HEAD: Final = struct.Struct(">BB").pack
HEAD_16: Final = struct.Struct(">BBH").pack
HEAD_64: Final = struct.Struct(">BBQ").pack
LENGTHS: Final = {TWO_BYTES: (126, 0xFFFF), EIGHT_BYTES: (0x10000, 2**63 - 1)}

# Every fragment costs work, and empty ones never reach a size limit. So each message has a credit
# (the size limit, at least MIN_FRAGMENT_CREDIT), and a fragment below SMALL_FRAGMENT bytes uses up
# the difference.
SMALL_FRAGMENT: Final = 64
MIN_FRAGMENT_CREDIT: Final = 64 * 1024

Message = tuple[int, Frame]
"""An opcode and a payload: text as `str`, everything else as `bytes`."""

FRAGMENT: Final[Message] = (CONTINUATION, b"")
"""A frame of a message that is not complete: nothing to act on, but it took as long as one."""


class ProtocolViolation(Exception):
    """A peer violated the protocol; `code` is the close code (RFC 6455 section 7.4.1)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a protocol violation: close with {code}")
        self.code = code


def whole_message(data: bytes, max_size: int) -> Frame | None:
    """Return the message that a chunk is, if that is one whole frame and nothing else.

    None says nothing about the chunk: a `FrameReader` reads it, and finds its faults.
    """
    size = len(data)
    if size < BARE_HEAD + MASK or data[0] not in WHOLE:
        return None
    length, head = data[1] - MASKED, BARE_HEAD + MASK  # below 0 without a mask
    if length == TWO_BYTES and size > head:
        head += 2
        length = data[BARE_HEAD] << 8 | data[BARE_HEAD + 1]
        is_shortest = length > MAX_CONTROL
    else:
        is_shortest = length <= MAX_CONTROL
    if not is_shortest or size - head != length or length > max_size:
        return None
    payload = apply_mask(data[head:], data[head - MASK : head])
    try:
        return payload if data[0] == FIN | BINARY else payload.decode()
    except UnicodeDecodeError:
        return None


class FrameReader:
    """Parses the bytes of a client into messages; every frame must be masked (section 5.1)."""

    __slots__ = (
        "_at",
        "_buffer",
        "_fragment_credit",
        "_is_compressed",
        "_max_size",
        "_need",
        "_opcode",
        "_parts",
        "inflates",
    )

    def __init__(self, max_size: int, *, inflates: bool = False) -> None:
        self._max_size = max_size
        self.inflates = inflates  # permessage-deflate was negotiated
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self._need = BARE_HEAD  # bytes that the next step needs
        self._parts: bytearray | None = None  # of a fragmented message; None between messages
        self._opcode = TEXT
        self._is_compressed = False
        self._fragment_credit = 0

    @property
    def is_mid_message(self) -> bool:
        """Return whether a message or frame has begun and is not complete."""
        return self._parts is not None or len(self._buffer) > self._at

    @property
    def is_empty(self) -> bool:
        """Return whether all received bytes were read, without looking whether they are whole."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        if not self._buffer:
            self._buffer = data
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def read(self) -> Message | None:
        """Return the next message, control frame or `FRAGMENT`, None until more bytes arrive.

        Raises `ProtocolViolation`, after which the connection must be closed.
        """
        frame = self._take_frame() if self._buffer else None
        if frame is None:
            return None
        first, opcode, payload = frame
        if opcode >= CLOSE:
            return opcode, payload
        return self._assemble(first, opcode, payload)

    def _take_frame(self) -> tuple[int, int, bytes] | None:
        """Take the next whole frame: its first byte, opcode and payload; None if incomplete."""
        buffer, begin = self._buffer, self._at
        if len(buffer) - begin < self._need:
            self._wait_for(self._need)
            return None
        first, second = buffer[begin], buffer[begin + 1]
        opcode = first & 0x0F
        if first & RSV or not second & MASKED or opcode not in OPCODES:
            self._check_bits(first, second, opcode)
        length, head = second & ~MASKED, begin + BARE_HEAD
        if length > MAX_CONTROL:
            head += WIDTHS[length]
            if len(buffer) < head:
                self._wait_for(head - begin)
                return None
            length = self._long_length(length, buffer[begin + BARE_HEAD : head])
        if opcode >= CLOSE:
            self._check_control(first, length)
        else:
            self._check_order(opcode, length)
        payload_at = head + MASK
        end = payload_at + length
        if len(buffer) < end:
            self._wait_for(end - begin)
            return None
        self._need = BARE_HEAD
        if end == len(buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        return first, opcode, apply_mask(buffer[payload_at:end], buffer[head:payload_at])

    def _wait_for(self, need: int) -> None:
        """Drop the bytes before the incomplete frame, and wait until `need` bytes are there."""
        self._need = need
        if self._at:
            self._buffer = self._buffer[self._at :]
            self._at = 0

    def _check_bits(self, first: int, second: int, opcode: int) -> None:
        """Refuse reserved bits and opcodes (section 5.2), and unmasked frames (section 5.1)."""
        is_compressed = self.inflates and first & RSV == RSV1 and opcode in (TEXT, BINARY)
        if opcode not in OPCODES or not second & MASKED or (first & RSV and not is_compressed):
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR)

    @staticmethod
    def _long_length(mark: int, field: bytes | bytearray) -> int:
        """Parse a length of 2 or 8 bytes, which must be the shortest form (section 5.2)."""
        length = int.from_bytes(field, "big")
        least, most = LENGTHS[mark]
        if not least <= length <= most:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR)
        return length

    @staticmethod
    def _check_control(first: int, length: int) -> None:
        """Refuse a control frame that is fragmented or over 125 bytes (section 5.5)."""
        if not first & FIN or length > MAX_CONTROL:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR)

    def _check_order(self, opcode: int, length: int) -> None:
        """Refuse a fragment out of order (section 5.4), and a message over the limit.

        The size is checked from the header, before the payload is buffered.
        """
        if (opcode == CONTINUATION) != (self._parts is not None):
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR)
        had = len(self._parts) if self._parts is not None else 0
        if had + length > self._max_size:
            raise ProtocolViolation(CloseCode.MESSAGE_TOO_BIG)

    def _assemble(self, first: int, opcode: int, payload: bytes) -> Message:
        """Add a data frame to its message; return the message once this frame completes it."""
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._is_compressed = bool(first & RSV1)
            if first & FIN:
                return opcode, self._open(payload)
            self._fragment_credit = max(self._max_size, MIN_FRAGMENT_CREDIT)
        self._fragment_credit -= max(SMALL_FRAGMENT - len(payload), 0)
        if self._fragment_credit < 0:
            raise ProtocolViolation(CloseCode.MESSAGE_TOO_BIG)
        if self._parts is None:
            self._parts = bytearray()
        self._parts += payload  # in place: a sum would copy the whole message for each fragment
        if not first & FIN:
            return FRAGMENT
        whole, self._parts = bytes(self._parts), None
        return self._opcode, self._open(whole)

    def _open(self, payload: bytes) -> Frame:
        """Return a complete message as the application gets it: inflated, and text decoded."""
        if self._is_compressed:
            try:
                payload = inflate(payload, self._max_size)
            except TooLong:
                raise ProtocolViolation(CloseCode.MESSAGE_TOO_BIG) from None
            except ValueError:
                raise ProtocolViolation(CloseCode.PROTOCOL_ERROR) from None
        if self._opcode == BINARY:
            return payload
        try:
            return payload.decode()  # RFC 6455 section 8.1: text must be UTF-8
        except UnicodeDecodeError:
            raise ProtocolViolation(CloseCode.INVALID_DATA) from None


def close_frame(code: int, reason: str) -> bytes:
    """Render a close frame; a reason that is too long is cut at a character boundary.

    If an application passes a code that must not be sent (section 7.4.1), 1011 replaces it.
    """
    code = code if _is_close_code(code) else CloseCode.INTERNAL_ERROR
    said = reason.encode()[: MAX_CONTROL - 2].decode(errors="ignore").encode()
    return control_frame(CLOSE, code.to_bytes(2, "big") + said)


def read_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame, or raise `ProtocolViolation` (section 7.4)."""
    if not payload:
        return CloseCode.NO_STATUS_RCVD, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not _is_close_code(code):
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(CloseCode.INVALID_DATA) from None


def _is_close_code(code: int) -> bool:
    """Return whether a close frame may carry the code (section 7.4)."""
    return code in EXTERNAL_CLOSE_CODES or FIRST_OWN_CODE <= code <= LAST_OWN_CODE


def control_frame(opcode: int, payload: bytes = b"") -> bytes:
    """Render a control frame of at most 125 bytes."""
    return bytes((FIN | opcode, len(payload))) + payload


def data_frame(first: int, payload: bytes) -> bytes:
    """Render an unfragmented data frame; a server must not mask it (section 5.1)."""
    length = len(payload)
    if length <= MAX_CONTROL:
        return SHORT_HEAD(first, length) + payload
    if length <= LENGTHS[TWO_BYTES][1]:
        return HEAD_16(first, TWO_BYTES, length) + payload
    return HEAD_64(first, EIGHT_BYTES, length) + payload


class PlainFraming:
    """Renders messages without compression; all sockets without compression share one."""

    def render(self, frame: Frame) -> bytes:
        """Return a message as one frame."""
        if isinstance(frame, str):
            return data_frame(FIN | TEXT, frame.encode())
        return data_frame(FIN | BINARY, frame)

    def join(self, chunks: Sequence[bytes]) -> bytes:
        """Return several rendered frames as one chunk."""
        return b"".join(chunks)


PLAIN_FRAMING: Final = PlainFraming()
