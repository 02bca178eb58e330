"""permessage-deflate (RFC 7692) without any state per connection.

Every message is compressed on its own (`server_no_context_takeover`), so a fan-out compresses once
and sends the same bytes to all sockets. Every incoming message is inflated on its own
(`client_no_context_takeover`), so no socket keeps a window. Because messages are compressed
separately, an attacker cannot mix their own text into another caller's message and learn something
from the compressed length (CRIME).
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
MIN_BYTES: Final = 64  # shorter messages do not get smaller

NO_TAKEOVER: Final = ("server_no_context_takeover", "client_no_context_takeover")
MIN_BITS: Final = 9  # zlib cannot compress with a window of 8 bits
MAX_BITS: Final = 15


class DeflateFraming:
    """Renders messages as frames, compressed where that makes them smaller."""

    def __init__(self, bits: int) -> None:
        self._compressor = zlib.compressobj(wbits=-bits)

    def render(self, frame: Frame) -> bytes:
        """Return a message as one frame."""
        opcode, payload = (TEXT, frame.encode()) if isinstance(frame, str) else (BINARY, frame)
        if len(payload) >= MIN_BYTES:
            # A full flush resets the compressor, so the peer can inflate this frame on its own.
            deflated = self._compressor.compress(payload)
            deflated += self._compressor.flush(zlib.Z_FULL_FLUSH)
            # RFC 7692 section 7.2.1: the sender strips the tail of the flush.
            if len(deflated) - len(TAIL) < len(payload):
                return data_frame(FIN | RSV1 | opcode, deflated.removesuffix(TAIL))
        return data_frame(FIN | opcode, payload)

    def join(self, chunks: Sequence[bytes]) -> bytes:
        """Return several rendered frames as one chunk."""
        return b"".join(chunks)


@cache  # one object for each of the seven window sizes
def framing_for(bits: int) -> DeflateFraming:
    """Return the framing shared by all sockets that use this window size."""
    return DeflateFraming(bits)


def negotiate(offer: str) -> tuple[str, DeflateFraming] | None:
    """Return the answer to a Sec-WebSocket-Extensions header and the framing it selects.

    None if the header offers nothing that this server supports. The first acceptable offer wins
    (RFC 7692 section 5).
    """
    try:
        extensions = parse_extension(offer)
    except InvalidHeader:
        return None
    for name, parameters in extensions:
        bits = _window(parameters) if name == NAME else None
        if bits is not None:
            is_limited = any(key == "server_max_window_bits" for key, _ in parameters)
            limit = [f"server_max_window_bits={bits}"] if is_limited else []
            answer = [NAME, *NO_TAKEOVER, *limit]
            return "; ".join(answer), framing_for(bits)
    return None


def _window(parameters: Sequence[ExtensionParameter]) -> int | None:
    """Return the window bits an offer allows the server, None if it is invalid or too small."""
    values = dict(parameters)
    bits = values.pop("server_max_window_bits", str(MAX_BITS))
    client_bits = values.pop("client_max_window_bits", None)
    flags = [values.pop(name, None) for name in NO_TAKEOVER]
    # RFC 7692 section 7.1: decline an offer with an unknown, repeated or malformed parameter.
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
    """Return whether a value is a window size that RFC 7692 section 7.1.2 allows."""
    return value is not None and value in map(str, range(8, MAX_BITS + 1))
