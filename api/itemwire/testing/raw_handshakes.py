"""Handshakes written byte by byte, so that they can be wrong in any way."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.message import Message
from typing import Final
from urllib.parse import urlsplit

from typing_extensions import override
from websockets.frames import Frame, Opcode

from itemwire.testing.refusals import NO_ANSWER, SWITCHED, Refusal

ANSWER_SECONDS: Final = 5.0  # to wait for any answer; most come within 1 ms

STANDARD_HEADERS: Final = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}

# The close code for a refusal inside an envelope, which leaves the connection open.
POLICY: Final = 1008

_CLOSE: Final = Frame(Opcode.CLOSE, (1000).to_bytes(2, "big")).serialize(mask=True)
_LENGTH_BITS: Final = 0x7F
_LONGER: Final = {126: 2, 127: 8}  # RFC 6455 section 5.2: the length follows in 2 or 8 bytes


@dataclass(frozen=True, slots=True)
class RawHandshake:
    """A handshake as it is sent: `target` and header values are neither checked nor escaped."""

    target: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    standard: tuple[tuple[str, str | None], ...] = ()
    method: str = "GET"
    version: str = "HTTP/1.1"
    body: str = field(default="", repr=False)
    offer_inside: str | None = field(default=None, repr=False)  # a token to refresh with
    at_once: int = 1  # how many times it is sent in parallel, see `Endpoint.send`

    def query(self, part: str) -> RawHandshake:
        """Append a part to the query, without escaping."""
        return replace(self, target=f"{self.target}{'&' if '?' in self.target else '?'}{part}")

    def header(self, name: str, value: str) -> RawHandshake:
        """Add a header, even if there is one with this name already."""
        return replace(self, headers=(*self.headers, (name, value)))

    def cookie(self, pair: str) -> RawHandshake:
        """Add a pair to the Cookie header."""
        others = [value for name, value in self.headers if name == "Cookie"]
        rest = tuple((name, value) for name, value in self.headers if name != "Cookie")
        return replace(self, headers=(*rest, ("Cookie", "; ".join([*others, pair]))))

    def offer(self, *subprotocols: str) -> RawHandshake:
        """Offer more subprotocols."""
        return replace(self, subprotocols=(*self.subprotocols, *subprotocols))

    def instead(self, name: str, value: str | None) -> RawHandshake:
        """Replace a header that every handshake has, Host included; None leaves it out."""
        return replace(self, standard=(*self.standard, (name, value)))

    def encode(self, host: str) -> bytes:
        """Return the bytes of the request."""
        standard: dict[str, str | None] = {"Host": host, **STANDARD_HEADERS}
        standard |= dict(self.standard)
        lines = [f"{self.method} {self.target} {self.version}"]
        lines += [f"{name}: {value}" for name, value in standard.items() if value is not None]
        if self.subprotocols:
            lines.append(f"Sec-WebSocket-Protocol: {', '.join(self.subprotocols)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        # A bad token may hold half a surrogate pair, which strict UTF-8 cannot encode.
        return "\r\n".join([*lines, "", self.body]).encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Refreshing:
    """How a token is offered on an open connection.

    `write(token)` returns the frame that offers it. `read(frame)` returns "" for a frame that
    accepts it, the reason for a frame that refuses it, and None for any other frame.
    """

    write: Callable[[str], str] = field(repr=False)
    read: Callable[[str], str | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a handshake: its refusal, None if accepted, and the head of the response."""

    refusal: Refusal | None
    head: str = field(default="", repr=False)

    @property
    def is_in(self) -> bool:
        """Whether the client was accepted."""
        return self.refusal is None

    @override
    def __str__(self) -> str:
        """Describe the answer in one line."""
        return "let in" if self.refusal is None else str(self.refusal)


def send_handshake(
    url: str,
    handshake: RawHandshake,
    *,
    probe: str | None = None,
    quiet: float | None = None,
    patience: float = ANSWER_SECONDS,
    refreshing: Refreshing | None = None,
) -> Answer:
    """Send a handshake and return the server's answer.

    A client counts as accepted once any frame but a close frame has come. `probe` is a frame that
    makes the server send something; for a server that stays silent, `quiet` seconds of silence
    count as acceptance. If the handshake has `offer_inside`, that token is offered then, and its
    outcome is the answer. No response within `patience` seconds is a refusal without an answer.

    Raises `ValueError` for a URL that is not http://, `AssertionError` for a server that accepts
    and then stays silent without `quiet`.
    """
    place = urlsplit(url)
    if place.scheme != "http":  # https:// would send a good token unencrypted, to another port
        raise ValueError(f"attacks need an http:// URL, without TLS in between: not {url!r}")
    address = (place.hostname or "", place.port or 80)
    with (
        socket.create_connection(address, timeout=patience) as connection,
        connection.makefile("rb") as incoming,
    ):
        with contextlib.suppress(OSError):  # the server may refuse a large head before it ends
            connection.sendall(handshake.encode(place.netloc))
        answer = _response(incoming)
        if answer.refusal is None or answer.refusal.status != SWITCHED:
            return answer
        with contextlib.suppress(OSError):
            if probe is not None:
                connection.sendall(Frame(Opcode.TEXT, probe.encode()).serialize(mask=True))
        connection.settimeout(patience if quiet is None else quiet)
        unanswered = (
            bool(handshake.subprotocols) and "sec-websocket-protocol" not in answer.head.lower()
        )
        refusal = _first_frame(incoming, silence_is_in=quiet is not None, unanswered=unanswered)
        if refusal is None and refreshing is not None and handshake.offer_inside is not None:
            offered = refreshing.write(handshake.offer_inside)
            connection.sendall(Frame(Opcode.TEXT, offered.encode()).serialize(mask=True))
            refusal = _refreshed(incoming, refreshing)
        with contextlib.suppress(OSError):
            connection.sendall(_CLOSE)
        return replace(answer, refusal=refusal)


def _response(incoming: io.BufferedReader) -> Answer:
    """Read the head of the response, and its body if the handshake was refused over HTTP."""
    try:
        status = int(incoming.readline().split(b" ", 2)[1])
        headers = http.client.parse_headers(incoming)
    except (OSError, IndexError, ValueError, http.client.HTTPException):
        return Answer(Refusal(NO_ANSWER))
    body = b"" if status == SWITCHED else _body(incoming, headers)
    return Answer(Refusal(status, body=body), str(headers))


def _body(incoming: io.BufferedReader, headers: Message) -> bytes:
    """Read the body of a refusal as far as it comes: a truncated one is a refusal too."""
    body = b""
    with contextlib.suppress(OSError, ValueError):
        if headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(incoming.readline().partition(b";")[0], 16):
                body += incoming.read(size)
                incoming.readline()
        else:
            body = incoming.read(int(headers.get("Content-Length", "-1")))
    return body


def _first_frame(
    incoming: io.BufferedReader, *, silence_is_in: bool, unanswered: bool
) -> Refusal | None:
    """Wait for the first frame after acceptance; return None if it is not a close frame."""
    try:
        for opcode, payload in _frames(incoming):
            if opcode is Opcode.CLOSE:
                return _closed(payload, unanswered=unanswered)
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                return None
    except TimeoutError:
        if silence_is_in:
            return None
        message = "accepted, then neither a frame nor a close came: set `probe` or `quiet`"
        raise AssertionError(message) from None
    except OSError:
        pass
    return Refusal(SWITCHED, unanswered=unanswered)


def _refreshed(incoming: io.BufferedReader, refreshing: Refreshing) -> Refusal | None:
    """Wait for the outcome of a token offered inside; return None if it was accepted."""
    with contextlib.suppress(OSError):  # TimeoutError too: silence is not an orderly refusal
        for opcode, payload in _frames(incoming):
            if opcode is Opcode.CLOSE:
                return _closed(payload)
            told = refreshing.read(payload.decode(errors="replace"))
            if told is not None:
                return Refusal(SWITCHED, POLICY, told) if told else None
    return Refusal(SWITCHED)


def _closed(payload: bytes, *, unanswered: bool = False) -> Refusal:
    code = int.from_bytes(payload[:2], "big") if payload else 1005
    return Refusal(SWITCHED, code, payload[2:].decode(errors="replace"), unanswered=unanswered)


def _frames(incoming: io.BufferedReader) -> Iterator[tuple[Opcode, bytes]]:
    """Yield the server's frames, which are never masked, until the connection ends."""
    while len(head := incoming.read(2)) == len("  "):
        length = head[1] & _LENGTH_BITS
        if length in _LONGER:
            length = int.from_bytes(incoming.read(_LONGER[length]), "big")
        yield Opcode(head[0] & 0x0F), incoming.read(length)
