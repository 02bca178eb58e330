"""One socket of the crowd: the handshake, then a protocol that receives frames.

A load generator mostly receives, so it parses as little as it can: see `itemwire.bench.listeners`.
uvloop calls a protocol with whole chunks, which costs 3 µs each, however many frames they hold.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, cast

from typing_extensions import override

from itemwire.bench.errors import HandshakeRefused
from itemwire.bench.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    client_frame,
    close_reason,
    split_frames,
)
from itemwire.bench.target import ACCEPT, PLAIN, Dialect

LARGEST_HEAD: Final = 65_536
LONGEST_QUOTE: Final = 200
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER with a time of 0: close by a reset


class Listener(asyncio.Protocol):
    """An open socket: answers pings and closes, and passes data frames on."""

    def __init__(self, item_number: int = 0, dialect: Dialect = PLAIN) -> None:
        self.item_number = item_number
        self.number = 0
        """The number of this connection in the crowd."""
        self.transport: asyncio.WriteTransport = _NOWHERE
        self.ended: str | None = None
        """How the server ended the connection; None if it did not."""
        self.on_end: Callable[[], None] | None = None
        self.gone = False
        """Whether the connection is closed."""
        self._rest = b""
        self._replies = [(a.encode(), b.encode()) for a, b in dialect.replies.items()]

    @override
    def data_received(self, data: bytes) -> None:
        for frame in self.frames(data):
            self.received(frame)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._end("lost")

    def received(self, frame: Frame) -> None:
        """Handle a data frame; a subclass may override it."""

    def frames(self, data: bytes) -> list[Frame]:
        """Return the data frames that are complete by now; answer control frames."""
        frames, self._rest = split_frames(self._rest + data if self._rest else data)
        data_frames = [frame for frame in frames if frame.opcode < CLOSE]
        if len(data_frames) < len(frames):
            for frame in frames:
                self._answer(frame)
        for frame in data_frames if self._replies else ():
            self._reply(frame)
        return data_frames

    def send_text(self, text: str) -> None:
        """Send a text message."""
        self.transport.write(client_frame(TEXT, text.encode()))

    def close(self) -> None:
        """Reset the connection: thousands of ports would stay in TIME_WAIT for a minute."""
        self.on_end = None
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def _answer(self, frame: Frame) -> None:
        if frame.opcode == PING:
            self.transport.write(client_frame(PONG, frame.payload))
        elif frame.opcode == CLOSE:
            self.transport.write(client_frame(CLOSE, frame.payload[:2]))
            self._end(close_reason(frame.payload))

    def _reply(self, frame: Frame) -> None:
        for beginning, reply in self._replies:
            if frame.payload.startswith(beginning):
                self.transport.write(client_frame(TEXT, reply))

    def _end(self, how: str) -> None:
        if self.ended is None:
            self.ended = how
            if self.on_end is not None:
                self.on_end()


class Handshake(asyncio.Protocol):
    """Opens a socket, goes through the server's hello, then hands over to a listener."""

    def __init__(
        self, request: bytes, listener: Listener, dialect: Dialect, opened: asyncio.Future[int]
    ) -> None:
        """Set `opened` to the time (`perf_counter_ns`) at the end, or to `HandshakeRefused`."""
        self._request = request
        self._listener = listener
        self._opened = opened
        self._hello = list(dialect.hello)
        self._accepted = False
        self._received = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._listener.transport = self._transport
        self._transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._accepted:
            self._read_answer()
        if self._accepted:
            self._greet()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the connection was lost in the handshake")

    def give_up(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _read_answer(self) -> None:
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        status = head.partition(b"\r\n")[0].decode(errors="replace")
        if not separator:
            if len(head) > LARGEST_HEAD:
                self._fail("the response to the handshake has no end")
        elif status.split()[1:2] != ["101"]:
            body = rest[:LONGEST_QUOTE].decode(errors="replace").strip()
            self._fail(f"refused with {status} {body}".rstrip())
        elif ACCEPT not in head:
            self._fail("not a WebSocket server: wrong Sec-WebSocket-Accept")
        else:
            self._accepted, self._received = True, rest

    def _greet(self) -> None:
        frames, _ = split_frames(self._received) if self._hello else ([], b"")
        used = 0
        for frame in frames:
            if not self._hello:
                break  # the rest belongs to the listener
            used += frame.size
            if frame.opcode == CLOSE:
                self._fail(close_reason(frame.payload))
                return
            if frame.payload.startswith(self._hello[0][0].encode()):
                answer = self._hello.pop(0)[1]
                if answer:
                    self._listener.send_text(answer)
        self._received = self._received[used:]
        if not self._hello:
            self._hand_over()

    def _hand_over(self) -> None:
        now = time.perf_counter_ns()
        assert self._transport is not None  # noqa: S101 - data cannot come before a connection
        self._transport.set_protocol(self._listener)
        if self._received:
            self._listener.data_received(self._received)
        if not self._opened.done():
            self._opened.set_result(now)

    def _fail(self, why: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(HandshakeRefused(why))
        self.give_up()


_NOWHERE: Final = cast("asyncio.WriteTransport", None)
