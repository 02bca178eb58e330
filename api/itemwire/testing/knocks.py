"""Handshakes written byte by byte, to be wrong in any way, and what came back."""

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

PATIENCE_SECONDS: Final = 5.0  # within which a server answers anything, and mostly in 1 ms

STANDARD_HEADERS: Final = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}

POLICY: Final = 1008  # of a refusal in an envelope, which leaves the connection open

_CLOSE: Final = Frame(Opcode.CLOSE, (1000).to_bytes(2, "big")).serialize(mask=True)
_LENGTH_BITS: Final = 0x7F
_LONGER: Final = {126: 2, 127: 8}  # RFC 6455 section 5.2: so many bytes of length follow


@dataclass(frozen=True, slots=True)
class Knock:
    """A handshake as it is sent: `target` and header values go out as they stand."""

    target: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    standard: tuple[tuple[str, str | None], ...] = ()
    method: str = "GET"
    version: str = "HTTP/1.1"
    body: str = field(default="", repr=False)
    offer_inside: str | None = field(default=None, repr=False)  # a token to be refreshed with
    at_once: int = 1  # sent so many times; one that may get in once is in if two do

    def query(self, part: str) -> Knock:
        """Add to the query, as it stands."""
        return replace(self, target=f"{self.target}{'&' if '?' in self.target else '?'}{part}")

    def header(self, name: str, value: str) -> Knock:
        """Add a header, be there one of this name or not."""
        return replace(self, headers=(*self.headers, (name, value)))

    def cookie(self, pair: str) -> Knock:
        """Add to the Cookie header."""
        others = [value for name, value in self.headers if name == "Cookie"]
        rest = tuple((name, value) for name, value in self.headers if name != "Cookie")
        return replace(self, headers=(*rest, ("Cookie", "; ".join([*others, pair]))))

    def offer(self, *subprotocols: str) -> Knock:
        """Offer more subprotocols."""
        return replace(self, subprotocols=(*self.subprotocols, *subprotocols))

    def instead(self, name: str, value: str | None) -> Knock:
        """Send another value of a header that each handshake has, Host among them, or none."""
        return replace(self, standard=(*self.standard, (name, value)))

    def encode(self, host: str) -> bytes:
        """Write the request."""
        standard: dict[str, str | None] = {"Host": host, **STANDARD_HEADERS}
        standard |= dict(self.standard)
        lines = [f"{self.method} {self.target} {self.version}"]
        lines += [f"{name}: {value}" for name, value in standard.items() if value is not None]
        if self.subprotocols:
            lines.append(f"Sec-WebSocket-Protocol: {', '.join(self.subprotocols)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        # A token may hold half a surrogate pair: it travels as the bytes it would have.
        return "\r\n".join([*lines, "", self.body]).encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Refreshing:
    """How a token is offered on an open connection.

    `write(token)` gives the frame. `read(frame)` gives "" for a frame that says it was taken, the
    reason where it says that it was not, and None for one that is about something else.
    """

    write: Callable[[str], str] = field(repr=False)
    read: Callable[[str], str | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a refusal, or None for a client that is in, and the response's head."""

    refusal: Refusal | None
    head: str = field(default="", repr=False)

    @property
    def is_in(self) -> bool:
        """Tell whether the client got in."""
        return self.refusal is None

    @override
    def __str__(self) -> str:
        """Say it in a line."""
        return "let in" if self.refusal is None else str(self.refusal)


def send_knock(
    url: str,
    knock: Knock,
    *,
    probe: str | None = None,
    quiet: float | None = None,
    patience: float = PATIENCE_SECONDS,
    refreshing: Refreshing | None = None,
) -> Answer:
    """Knock, and tell whether the client gets in.

    What is offered inside is offered then, and the answer is what comes of it.

    An accepted client is in once anything but a close frame has come: `probe` is sent to have the
    server say something. Where it says nothing, `quiet` seconds of silence count for it.
    No answer within `patience` seconds is none.
    """
    place = urlsplit(url)
    if place.scheme != "http":  # a good token would travel in the clear, and to another port
        raise ValueError(f"attacks are for http://, with no TLS between, and not for {url!r}")
    address = (place.hostname or "", place.port or 80)
    with (
        socket.create_connection(address, timeout=patience) as connection,
        connection.makefile("rb") as incoming,
    ):
        with contextlib.suppress(OSError):  # an oversized head may be refused while it is sent
            connection.sendall(knock.encode(place.netloc))
        answer = _response(incoming)
        if answer.refusal is None or answer.refusal.status != SWITCHED:
            return answer
        with contextlib.suppress(OSError):
            if probe is not None:
                connection.sendall(Frame(Opcode.TEXT, probe.encode()).serialize(mask=True))
        connection.settimeout(patience if quiet is None else quiet)
        unanswered = (
            bool(knock.subprotocols) and "sec-websocket-protocol" not in answer.head.lower()
        )
        refusal = _first_frame(incoming, silence_is_in=quiet is not None, unanswered=unanswered)
        if refusal is None and refreshing is not None and knock.offer_inside is not None:
            offered = refreshing.write(knock.offer_inside)
            connection.sendall(Frame(Opcode.TEXT, offered.encode()).serialize(mask=True))
            refusal = _refreshed(incoming, refreshing)
        with contextlib.suppress(OSError):
            connection.sendall(_CLOSE)
        return replace(answer, refusal=refusal)


def _response(incoming: io.BufferedReader) -> Answer:
    """Read the response's head, and its body if the handshake was denied."""
    try:
        status = int(incoming.readline().split(b" ", 2)[1])
        headers = http.client.parse_headers(incoming)
    except (OSError, IndexError, ValueError, http.client.HTTPException):
        return Answer(Refusal(NO_ANSWER))
    body = b"" if status == SWITCHED else _body(incoming, headers)
    return Answer(Refusal(status, body=body), str(headers))


def _body(incoming: io.BufferedReader, headers: Message) -> bytes:
    """Read a denial's body as it comes: what is cut short is a denial all the same."""
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
    """Wait for what an accepted client is told first: None if it is anything but a close."""
    try:
        for opcode, payload in _frames(incoming):
            if opcode is Opcode.CLOSE:
                return _closed(payload, unanswered=unanswered)
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                return None
    except TimeoutError:
        if silence_is_in:
            return None
        message = (
            "accepted, and then neither spoken to nor closed: give the route `probe` or `quiet`"
        )
        raise AssertionError(message) from None
    except OSError:
        pass
    return Refusal(SWITCHED, unanswered=unanswered)


def _refreshed(incoming: io.BufferedReader, refreshing: Refreshing) -> Refusal | None:
    """Wait for what is said of a token that was offered inside: None if it was taken."""
    with contextlib.suppress(OSError):  # TimeoutError, too: no answer is no refusal in order
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
    """Read the server's frames, which are never masked, until the connection ends."""
    while len(head := incoming.read(2)) == len("  "):
        length = head[1] & _LENGTH_BITS
        if length in _LONGER:
            length = int.from_bytes(incoming.read(_LONGER[length]), "big")
        yield Opcode(head[0] & 0x0F), incoming.read(length)
