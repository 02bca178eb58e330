"""permessage-deflate (RFC 7692) that keeps nothing per connection.

Each message is compressed on its own (`server_no_context_takeover`), so a fan-out compresses once
and all its sockets get the same bytes; each is inflated on its own (`client_no_context_takeover`),
so no socket keeps a window. Compressing messages apart also leaves nothing to learn from lengths
by mixing one's own text with another's (CRIME).
"""

import zlib
from collections.abc import Sequence
from functools import cache
from typing import Final

from websockets.exceptions import InvalidHeader
from websockets.headers import parse_extension
from websockets.typing import ExtensionParameter

from itemwire.fastpath.frames import BINARY, FIN, RSV1, TEXT, data_frame
from itemwire.fastpath.inflate import TAIL
from itemwire.messages import Frame

NAME: Final = "permessage-deflate"
MIN_BYTES: Final = 64  # below it a frame gains nothing

ALONE: Final = ("server_no_context_takeover", "client_no_context_takeover")
MIN_BITS: Final = 9  # zlib cannot do 8
MAX_BITS: Final = 15


class DeflateFraming:
    """Renders messages compressed, where that makes them smaller."""

    def __init__(self, bits: int) -> None:
        self._compressor = zlib.compressobj(wbits=-bits)

    def render(self, frame: Frame) -> bytes:
        """Give a message as one frame."""
        opcode, payload = (TEXT, frame.encode()) if isinstance(frame, str) else (BINARY, frame)
        if len(payload) >= MIN_BYTES:
            # A full flush forgets all that went before: the frame can be read on its own.
            deflated = self._compressor.compress(payload)
            deflated += self._compressor.flush(zlib.Z_FULL_FLUSH)
            if len(deflated) - len(TAIL) < len(payload):
                return data_frame(FIN | RSV1 | opcode, deflated.removesuffix(TAIL))
        return data_frame(FIN | opcode, payload)

    def join(self, chunks: Sequence[bytes]) -> bytes:
        """Give several frames in one piece."""
        return b"".join(chunks)


@cache  # one for each size of window, of which there are seven
def framing_for(bits: int) -> DeflateFraming:
    """Give the framing of all sockets that take this window."""
    return DeflateFraming(bits)


def negotiate(offer: str) -> tuple[str, DeflateFraming] | None:
    """Choose from a Sec-WebSocket-Extensions header; None if nothing in it can be done."""
    try:
        extensions = parse_extension(offer)
    except InvalidHeader:
        return None
    for name, parameters in extensions:
        bits = _window(parameters) if name == NAME else None
        if bits is not None:
            asked = any(key == "server_max_window_bits" for key, _ in parameters)
            answer = [NAME, *ALONE, *([f"server_max_window_bits={bits}"] if asked else [])]
            return "; ".join(answer), framing_for(bits)
    return None


def _window(parameters: Sequence[ExtensionParameter]) -> int | None:
    """Give the bits of the window an offer leaves us, None if it is invalid or too small."""
    values = dict(parameters)
    bits = values.pop("server_max_window_bits", str(MAX_BITS))
    client_bits = values.pop("client_max_window_bits", None)
    flags = [values.pop(name, None) for name in ALONE]
    if (
        len({name for name, _ in parameters}) < len(parameters)
        or values
        or any(flags)
        or not _are_bits(bits)
        or not _are_bits(client_bits or str(MAX_BITS))
    ):
        return None
    return int(bits) if bits is not None and int(bits) >= MIN_BITS else None


def _are_bits(value: str | None) -> bool:
    """Tell whether a value is a number of bits that RFC 7692 section 7.1.2 allows."""
    return value is not None and value in map(str, range(8, MAX_BITS + 1))
