"""Checks an opening handshake and renders the answer: RFC 6455 section 4.2, without I/O."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple

from itemwire.fastpath.deflate import DeflateFraming, negotiate
from itemwire.fastpath.frames import PLAIN_FRAMING, PlainFraming

Header = tuple[bytes, bytes]
Headers = list[Header]

# RFC 9111 lets a cache keep a 414, and with it the query string, which may hold a token.
NO_STORE: Final = (b"cache-control", b"no-store")
# Larger than the limit of a token, so that the application itself refuses a token that is too long.
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 128
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION: Final = b"13"
KEY_BYTES: Final = 16
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
)
STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class BadHandshake(Exception):
    """A request that is not a valid opening handshake; `status` and `headers` answer it."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status
        # RFC 6455 section 4.4: the answer names the supported version.
        self.headers: Headers = [(b"sec-websocket-version", VERSION)]
        if status is HTTPStatus.UPGRADE_REQUIRED:  # RFC 9110 section 15.5.22 requires it
            self.headers.append((b"upgrade", b"websocket"))


class RequestHead(NamedTuple):
    """The parsed head of a request; header names are in lower case."""

    method: bytes
    target: bytes
    headers: Headers


@dataclass(slots=True)
class OpeningHandshake:
    """A valid opening handshake."""

    target: bytes
    headers: Headers
    accept: bytes
    subprotocols: list[str]
    extensions: str


def parse_head(head: bytes) -> RequestHead:
    """Parse a request head whose syntax uvicorn's HTTP class has already checked."""
    request_line, *lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    method, target, _ = request_line.split(b" ")
    fields = (line.partition(b": ") for line in lines)
    return RequestHead(method, target, [(name.lower(), value) for name, _, value in fields])


def parse_opening(request: RequestHead) -> OpeningHandshake:
    """Return the opening handshake that a request makes, or raise `BadHandshake`."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in request.headers:
        values.setdefault(name, []).append(value)
    if values.get(b"sec-websocket-version") != [VERSION]:
        raise BadHandshake(HTTPStatus.UPGRADE_REQUIRED)
    keys = values.get(b"sec-websocket-key", [])
    # RFC 6454 section 7.3: never two Origin headers. Two readers could trust different ones.
    is_ambiguous = len(keys) != 1 or len(values.get(b"origin", ())) > 1
    if request.method != b"GET" or is_ambiguous or not _is_key(keys[0]) or _has_body(values):
        raise BadHandshake(HTTPStatus.BAD_REQUEST)
    return OpeningHandshake(
        target=request.target,
        headers=request.headers,
        accept=base64.b64encode(hashlib.sha1(keys[0] + GUID, usedforsecurity=False).digest()),
        subprotocols=_subprotocols(values.get(b"sec-websocket-protocol", ())),
        extensions=b", ".join(values.get(b"sec-websocket-extensions", ())).decode("latin-1"),
    )


def _subprotocols(fields: Sequence[bytes]) -> list[str]:
    """Return the offered subprotocols, which must be tokens (RFC 6455 section 4.1)."""
    offered = b",".join(fields).decode("latin-1").split(",") if fields else ()
    names = [name.strip(" \t") for name in offered if name]
    if not all(map(TOKEN.fullmatch, names)):
        raise BadHandshake(HTTPStatus.BAD_REQUEST)
    return names


def refusal_of_size(head_bytes: int, target_bytes: int, headers: int) -> HTTPStatus | None:
    """Return the status that refuses a head of this size, None if it is small enough.

    414 where the request target is the largest part (RFC 9110 section 15.5.15), else 431 (RFC 6585
    section 5).
    """
    if head_bytes > MAX_HEAD_BYTES and target_bytes > MAX_HEAD_BYTES // 2:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    if head_bytes > MAX_HEAD_BYTES or headers > MAX_HEADERS:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None


def _has_body(values: dict[bytes, list[bytes]]) -> bool:
    """Return whether the request announces a body, whose bytes would be parsed as frames."""
    return b"transfer-encoding" in values or values.get(b"content-length", [b"0"]) != [b"0"]


def _is_key(value: bytes) -> bool:
    """Return whether a key is 16 bytes in base64 (RFC 6455 section 4.1)."""
    try:
        return len(binascii.a2b_base64(value, strict_mode=True)) == KEY_BYTES
    except binascii.Error:
        return False


def render_acceptance(
    opening: OpeningHandshake, headers: Iterable[Header], subprotocol: str | None, *, deflates: bool
) -> tuple[bytes, PlainFraming | DeflateFraming]:
    """Return the response that opens the socket, and the framing of its messages."""
    fields: Headers = [(b"sec-websocket-accept", opening.accept)]
    framing: PlainFraming | DeflateFraming = PLAIN_FRAMING
    chosen = negotiate(opening.extensions) if deflates and opening.extensions else None
    if chosen is not None:
        answer, framing = chosen
        fields.append((b"sec-websocket-extensions", answer.encode()))
    if subprotocol:
        fields.append((b"sec-websocket-protocol", subprotocol.encode()))
    return SWITCHING + _render([*fields, *headers]), framing


def render_denial(status: int, headers: Iterable[Header], body: bytes) -> bytes:
    """Return a response that refuses the handshake and ends the connection."""
    fields = list(headers)
    named = {name.lower() for name, _ in fields}
    own = (
        (b"connection", b"close"),
        (b"content-length", str(len(body)).encode()),
        (b"content-type", b"text/plain; charset=utf-8"),
    )
    fields += [field for field in own if field[0] not in named]
    line = STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return line + _render(fields) + body


def _render(fields: Iterable[Header]) -> bytes:
    """Render header fields and the empty line after them; refuse line breaks in a field."""
    lines = [name + b": " + value for name, value in fields]
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise ValueError("a header field holds a line break")
    return b"\r\n".join([*lines, b"\r\n"])
