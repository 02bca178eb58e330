"""Judges an opening handshake and answers it: RFC 6455 section 4.2, without I/O."""

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

NO_STORE: Final = (b"cache-control", b"no-store")  # a cache may keep a 414, its query and all
MAX_HEAD_BYTES: Final = 64 * 1024  # a token over its own limit still reaches the application
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
    """A request to open a socket that is none; `status` and `headers` are the answer."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status
        self.headers: Headers = [(b"sec-websocket-version", VERSION)]
        if status is HTTPStatus.UPGRADE_REQUIRED:  # RFC 9110 section 15.5.22 wants it named
            self.headers.append((b"upgrade", b"websocket"))


class Request(NamedTuple):
    """As much of a request's head as was sent; names are in lower case."""

    method: bytes
    target: bytes
    headers: Headers


@dataclass(slots=True)
class Opening:
    """A good request to open a socket."""

    target: bytes
    headers: Headers
    accept: bytes
    subprotocols: list[str]
    extensions: str


def parse_head(head: bytes) -> Request:
    """Take apart a request head whose syntax uvicorn's HTTP class has checked."""
    request_line, *lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    method, target, _ = request_line.split(b" ")
    fields = (line.partition(b": ") for line in lines)
    return Request(method, target, [(name.lower(), value) for name, _, value in fields])


def judge(request: Request) -> Opening:
    """Tell what a request to open a socket asks for, or raise BadHandshake."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in request.headers:
        values.setdefault(name, []).append(value)
    if values.get(b"sec-websocket-version") != [VERSION]:
        raise BadHandshake(HTTPStatus.UPGRADE_REQUIRED)
    keys = values.get(b"sec-websocket-key", [])
    # Of two origins, two readers could heed different ones (RFC 6454 section 7.3: never two).
    is_ambiguous = len(keys) != 1 or len(values.get(b"origin", ())) > 1
    if request.method != b"GET" or is_ambiguous or not _is_key(keys[0]) or _has_body(values):
        raise BadHandshake(HTTPStatus.BAD_REQUEST)
    return Opening(
        target=request.target,
        headers=request.headers,
        accept=base64.b64encode(hashlib.sha1(keys[0] + GUID, usedforsecurity=False).digest()),
        subprotocols=_subprotocols(values.get(b"sec-websocket-protocol", ())),
        extensions=b", ".join(values.get(b"sec-websocket-extensions", ())).decode("latin-1"),
    )


def _subprotocols(fields: Sequence[bytes]) -> list[str]:
    """List the subprotocols offered, which must be tokens (RFC 6455 section 4.1)."""
    offered = b",".join(fields).decode("latin-1").split(",") if fields else ()
    names = [name.strip(" \t") for name in offered if name]
    if not all(map(TOKEN.fullmatch, names)):
        raise BadHandshake(HTTPStatus.BAD_REQUEST)
    return names


def judge_size(head_bytes: int, target_bytes: int, headers: int) -> HTTPStatus | None:
    """Tell the status to refuse a head of this size with, if it must be (RFC 6585 section 5)."""
    if head_bytes > MAX_HEAD_BYTES and target_bytes > MAX_HEAD_BYTES // 2:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    if head_bytes > MAX_HEAD_BYTES or headers > MAX_HEADERS:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None


def _has_body(values: dict[bytes, list[bytes]]) -> bool:
    """Tell whether a body is announced, which would be read as frames."""
    return b"transfer-encoding" in values or values.get(b"content-length", [b"0"]) != [b"0"]


def _is_key(value: bytes) -> bool:
    """Tell whether a key is 16 bytes in base64, as section 4.1 wants it."""
    try:
        return len(binascii.a2b_base64(value, strict_mode=True)) == KEY_BYTES
    except binascii.Error:
        return False


def accepted(
    opening: Opening, headers: Iterable[Header], subprotocol: str | None, *, deflates: bool
) -> tuple[bytes, PlainFraming | DeflateFraming]:
    """Give the answer that opens the socket, and what its messages are to be rendered by."""
    fields: Headers = [(b"sec-websocket-accept", opening.accept)]
    framing: PlainFraming | DeflateFraming = PLAIN_FRAMING
    chosen = negotiate(opening.extensions) if deflates and opening.extensions else None
    if chosen is not None:
        answer, framing = chosen
        fields.append((b"sec-websocket-extensions", answer.encode()))
    if subprotocol:
        fields.append((b"sec-websocket-protocol", subprotocol.encode()))
    return SWITCHING + _render([*fields, *headers]), framing


def denied(status: int, headers: Iterable[Header], body: bytes) -> bytes:
    """Give an answer that opens nothing and is the last on its connection."""
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
    """Render header fields and the line that ends them; none may bring lines of its own."""
    lines = [name + b": " + value for name, value in fields]
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise ValueError("a header field holds a line break")
    return b"\r\n".join([*lines, b"\r\n"])
