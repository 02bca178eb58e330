"""Reads a client's frames and renders the server's: RFC 6455 section 5, without I/O."""

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

FIRST_OWN_CODE: Final = 3000  # of libraries and applications
LAST_OWN_CODE: Final = 4999

OPCODES: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})

BARE_HEAD: Final = 2
MASK: Final = 4
MAX_CONTROL: Final = 125
TWO_BYTES: Final = 126  # in place of a length: it follows in so many bytes
EIGHT_BYTES: Final = 127
WIDTHS: Final = {TWO_BYTES: 2, EIGHT_BYTES: 8}
LENGTHS: Final = {TWO_BYTES: (126, 0xFFFF), EIGHT_BYTES: (0x10000, 2**63 - 1)}

# A fragment costs work however small it is, and an empty one would meet no limit of size. So what
# each lacks to CRUMB bytes is counted, and may add up to the largest message, or to MIN_CRUMBS.
CRUMB: Final = 64
MIN_CRUMBS: Final = 64 * 1024

Message = tuple[int, Frame]
"""An opcode and a payload: text as `str`, everything else as `bytes`."""


class Fault(Exception):
    """A peer broke the protocol; `code` is what to close with (RFC 6455 section 7.4.1)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a fault for {code}")
        self.code = code


class Reader:
    """Makes messages of bytes as they come in; of a client, so every frame must be masked."""

    __slots__ = (
        "_at",
        "_buffer",
        "_crumbs",
        "_is_compressed",
        "_max_size",
        "_need",
        "_opcode",
        "_parts",
        "inflates",
    )

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self.inflates = False  # whether messages may come compressed
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self._need = BARE_HEAD  # bytes that the next step takes
        self._parts: bytearray | None = None
        self._opcode = TEXT
        self._is_compressed = False
        self._crumbs = 0

    @property
    def is_halfway(self) -> bool:
        """Tell whether a message, or its head, has begun and not ended."""
        return self._parts is not None or len(self._buffer) > self._at

    def feed(self, data: bytes) -> None:
        """Take what came in."""
        if not self._buffer:
            self._buffer = data
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def read(self) -> Message | None:
        """Give the next message or control frame, None until more comes in; Fault ends it all."""
        while self._buffer and (frame := self._take_frame()) is not None:
            first, opcode, payload = frame
            if opcode >= CLOSE:
                return opcode, payload
            message = self._assemble(first, opcode, payload)
            if message is not None:
                return message
        return None

    def _take_frame(self) -> tuple[int, int, bytes] | None:
        """Cut the next frame off what came in: its first byte, opcode and payload."""
        buffer, begin = self._buffer, self._at
        if len(buffer) - begin < self._need:
            self._wait_for(self._need)
            return None
        first, second = buffer[begin], buffer[begin + 1]
        opcode = first & 0x0F
        if first & RSV or not second & MASKED or opcode not in OPCODES:
            self._judge_bits(first, second, opcode)
        length, head = second & ~MASKED, begin + BARE_HEAD
        if length > MAX_CONTROL:
            head += WIDTHS[length]
            if len(buffer) < head:
                self._wait_for(head - begin)
                return None
            length = self._long_length(length, buffer[begin + BARE_HEAD : head])
        if opcode >= CLOSE:
            self._judge_control(first, length)
        else:
            self._judge_order(opcode, length)
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
        """Keep no more than what waits for its end, and look at it again when that has come."""
        self._need = need
        if self._at:
            self._buffer = self._buffer[self._at :]
            self._at = 0

    def _judge_bits(self, first: int, second: int, opcode: int) -> None:
        """Refuse reserved bits and opcodes, and a frame that is not masked (section 5.2)."""
        is_compressed = self.inflates and first & RSV == RSV1 and opcode in (TEXT, BINARY)
        if opcode not in OPCODES or not second & MASKED or (first & RSV and not is_compressed):
            raise Fault(CloseCode.PROTOCOL_ERROR)

    @staticmethod
    def _long_length(mark: int, field: bytes | bytearray) -> int:
        """Read a longer length; it must be no longer than it need be (section 5.2)."""
        length = int.from_bytes(field, "big")
        least, most = LENGTHS[mark]
        if not least <= length <= most:
            raise Fault(CloseCode.PROTOCOL_ERROR)
        return length

    @staticmethod
    def _judge_control(first: int, length: int) -> None:
        """Refuse a control frame that is fragmented or long (section 5.5)."""
        if not first & FIN or length > MAX_CONTROL:
            raise Fault(CloseCode.PROTOCOL_ERROR)

    def _judge_order(self, opcode: int, length: int) -> None:
        """Refuse a fragment out of order, and a message over the limit before it is kept."""
        if (opcode == CONTINUATION) != (self._parts is not None):
            raise Fault(CloseCode.PROTOCOL_ERROR)
        had = len(self._parts) if self._parts is not None else 0
        if had + length > self._max_size:
            raise Fault(CloseCode.MESSAGE_TOO_BIG)

    def _assemble(self, first: int, opcode: int, payload: bytes) -> Message | None:
        """Put a data frame to its message; give the message if this ends it."""
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._is_compressed = bool(first & RSV1)
            if first & FIN:
                return opcode, self._open(payload)
            self._crumbs = max(self._max_size, MIN_CRUMBS)
        self._crumbs -= max(CRUMB - len(payload), 0)
        if self._crumbs < 0:
            raise Fault(CloseCode.MESSAGE_TOO_BIG)
        if self._parts is None:
            self._parts = bytearray()
        self._parts += payload  # in place: a sum would copy all there is for each fragment
        if not first & FIN:
            return None
        whole, self._parts = bytes(self._parts), None
        return self._opcode, self._open(whole)

    def _open(self, payload: bytes) -> Frame:
        """Give a whole message as the application gets it."""
        if self._is_compressed:
            try:
                payload = inflate(payload, self._max_size)
            except TooLong:
                raise Fault(CloseCode.MESSAGE_TOO_BIG) from None
            except ValueError:
                raise Fault(CloseCode.PROTOCOL_ERROR) from None
        if self._opcode == BINARY:
            return payload
        try:
            return payload.decode()
        except UnicodeDecodeError:
            raise Fault(CloseCode.INVALID_DATA) from None


def close_frame(code: int, reason: str) -> bytes:
    """Render a close frame; a reason that is too long is cut, at a whole character.

    A code that may not be sent, which is the application's fault, becomes 1011.
    """
    code = code if _is_close_code(code) else CloseCode.INTERNAL_ERROR
    said = reason.encode()[: MAX_CONTROL - 2].decode(errors="ignore").encode()
    return control_frame(CLOSE, code.to_bytes(2, "big") + said)


def read_close(payload: bytes) -> tuple[int, str]:
    """Read a close frame's code and reason (sections 5.5.1 and 7.4), or raise Fault."""
    if not payload:
        return CloseCode.NO_STATUS_RCVD, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not _is_close_code(code):
        raise Fault(CloseCode.PROTOCOL_ERROR)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise Fault(CloseCode.INVALID_DATA) from None


def _is_close_code(code: int) -> bool:
    """Tell whether a close frame may carry the code."""
    return code in EXTERNAL_CLOSE_CODES or FIRST_OWN_CODE <= code <= LAST_OWN_CODE


def control_frame(opcode: int, payload: bytes = b"") -> bytes:
    """Render a control frame of at most 125 bytes."""
    return bytes((FIN | opcode, len(payload))) + payload


def data_frame(first: int, payload: bytes) -> bytes:
    """Render an unfragmented data frame, as a server does: without a mask."""
    length = len(payload)
    if length <= MAX_CONTROL:
        return bytes((first, length)) + payload
    if length <= LENGTHS[TWO_BYTES][1]:
        return bytes((first, TWO_BYTES)) + length.to_bytes(2, "big") + payload
    return bytes((first, EIGHT_BYTES)) + length.to_bytes(8, "big") + payload


class PlainFraming:
    """Renders messages as they are; one for all sockets without compression."""

    def render(self, frame: Frame) -> bytes:
        """Give a message as one frame."""
        if isinstance(frame, str):
            return data_frame(FIN | TEXT, frame.encode())
        return data_frame(FIN | BINARY, frame)

    def join(self, chunks: Sequence[bytes]) -> bytes:
        """Give several frames in one piece."""
        return b"".join(chunks)


PLAIN_FRAMING: Final = PlainFraming()
