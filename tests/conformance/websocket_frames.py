"""Frames byte by byte: valid and invalid ones of a client, and a parser for a server's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

CONT: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

MAX_CONTROL: Final = 125

MASK: Final = b"\x0b\xad\xf0\x0d"


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length_bytes: int | None = None,
) -> bytes:
    """Write a frame of a client, whatever RFC 6455 says of it; `length_bytes` is 0, 2 or 8."""
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 1 << 16 else 8
    marker = {0: size, 2: 126, 8: 127}[length_bytes]
    head = bytes([fin << 7 | rsv << 4 | opcode, masked << 7 | marker])
    head += size.to_bytes(length_bytes, "big") if length_bytes else b""
    return head + MASK + _masked(payload) if masked else head + payload


def _masked(payload: bytes) -> bytes:
    if not payload:
        return b""
    size = len(payload)
    pad = (MASK * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def text(payload: bytes) -> bytes:
    """Write a whole text message."""
    return client_frame(TEXT, payload)


def fragments(*parts: bytes, opcode: int = TEXT) -> list[bytes]:
    """Write a message as one frame a part."""
    last = len(parts) - 1
    return [
        client_frame(CONT if number else opcode, part, fin=number == last)
        for number, part in enumerate(parts)
    ]


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """Write a client's close frame."""
    return client_frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


class ServerFrame(NamedTuple):
    """A frame as a server must send it: whole, unmasked, nothing reserved."""

    opcode: int
    payload: bytes


class BadFrame(AssertionError):
    """What a server must never send."""


def read_server_frames(data: bytes) -> Iterator[ServerFrame]:
    """Take the whole frames off `data`; a part of one at the end is left alone."""
    position = 0
    while len(data) - position >= 2:
        first, size = data[position], data[position + 1]
        if first & 0x70 or not first & 0x80 or size & 0x80:
            raise BadFrame(
                f"reserved bits, a fragment or a mask: {data[position : position + 16]!r}"
            )
        begin = position + 2
        extended = {126: 2, 127: 8}.get(size, 0)
        if len(data) < begin + extended:
            return
        if extended:
            size = int.from_bytes(data[begin : begin + extended], "big")
            if size < (126 if extended == 2 else 1 << 16):
                raise BadFrame(f"a length of {size} in {extended} bytes")
            begin += extended
        if data[position] & 0x08 and size > MAX_CONTROL:
            raise BadFrame(f"a control frame of {size}")
        if len(data) < begin + size:
            return
        yield ServerFrame(first & 0x0F, data[begin : begin + size])
        position = begin + size


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to a client: messages, pongs, and the code of its close frame.

    Data and control frames are kept apart: a pong may overtake a message (RFC 6455 section 5.5.3).
    """

    messages: tuple[ServerFrame, ...] = ()
    pongs: tuple[bytes, ...] = ()
    close: int | None = None  # 1005 stands for a close frame without a code

    @classmethod
    def of(cls, data: bytes) -> Answer:
        """Read an answer that ended with the connection."""
        frames = list(read_server_frames(data))
        ends = [f.payload for f in frames if f.opcode == CLOSE]
        codes = [int.from_bytes(payload[:2], "big") if payload else 1005 for payload in ends]
        if len(codes) > 1 or (codes and frames[-1].opcode != CLOSE):
            raise BadFrame(f"something after the close frame: {frames}")
        return cls(
            messages=tuple(f for f in frames if f.opcode in (TEXT, BINARY)),
            pongs=tuple(f.payload for f in frames if f.opcode == PONG),
            close=codes[0] if codes else None,
        )
