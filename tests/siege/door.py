"""The server as an attacker sees it, and what it is spoken to with."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from itemwire.bench.frames import CLOSE, PING, PONG, TEXT, client_frame, split_frames
from tests.fastpath.served import head
from tests.scenarios.clients import EVERYTHING, JSON, Envelope, token

PATIENCE: Final = 5.0
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
SPEAKS_JSON: Final = f"Sec-WebSocket-Protocol: {JSON}"


@dataclass(frozen=True, slots=True)
class Door:
    """Where the server listens, and which process it is."""

    host: str
    port: int
    pid: int

    @contextmanager
    def dial(self, data: bytes = b"", *, receive_buffer: int = 0) -> Iterator[socket.socket]:
        """Open a connection and send; it is reset in the end, so that no port waits a minute."""
        with socket.socket() as client:
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.settimeout(PATIENCE)
            client.connect((self.host, self.port))
            client.sendall(data)
            yield client

    @contextmanager
    def socket(
        self,
        path: str,
        subject: str = "attacker",
        *extra: str,
        scope: str = EVERYTHING,
        receive_buffer: int = 0,
    ) -> Iterator[Wire]:
        """Open a WebSocket that speaks envelopes, with every right unless the scope has fewer."""
        asked = head(path, SPEAKS_JSON, credential(subject, scope), *extra)
        with self.dial(asked, receive_buffer=receive_buffer) as client:
            yield Wire(client, read_head(client))


def credential(subject: str = "attacker", scope: str = EVERYTHING) -> str:
    """Write the header of a caller, with every right unless the scope has fewer."""
    return f"Authorization: Bearer {token(subject, scope, lifetime=3600)}"


def read_head(client: socket.socket) -> bytes:
    """Read the head of a 101; return what came behind it."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = client.recv(1 << 16)
        if not data:
            break
        received += data
    answer, _, rest = received.partition(b"\r\n\r\n")
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise ConnectionRefusedError(received[:200])
    return rest


class Wire:
    """An open WebSocket that speaks envelopes, on a blocking socket."""

    def __init__(self, client: socket.socket, received: bytes = b"") -> None:
        self.client = client
        self._rest = received
        self._texts: list[bytes] = []

    def send(self, *envelopes: Envelope) -> None:
        """Send requests in one piece."""
        self.client.sendall(
            b"".join(client_frame(TEXT, json.dumps(one).encode()) for one in envelopes)
        )

    def read(self, seconds: float = PATIENCE) -> Envelope | None:
        """Return the next envelope, None if none comes in time or any more."""
        text = self.read_text(seconds)
        return json.loads(text) if text else None

    def read_text(self, seconds: float = PATIENCE) -> bytes:
        """Return the next text as it came, b"" if none comes in time or any more."""
        deadline = time.monotonic() + seconds
        while not self._texts:
            left = deadline - time.monotonic()
            if left <= 0 or not self._receive(left):
                break
        return self._texts.pop(0) if self._texts else b""

    def answer_to(self, ref: int, seconds: float = PATIENCE) -> Envelope | None:
        """Return the answer to a request, past all else; None if there is none in time."""
        deadline = time.monotonic() + seconds
        while envelope := self.read(deadline - time.monotonic()):
            if envelope.get("ref") == ref:
                return envelope
        return None

    def ask_text(self, text: str) -> bytes:
        """Send a text and return the reply or error that comes next, as it came."""
        self.client.sendall(client_frame(TEXT, text.encode()))
        while answer := self.read_text():
            if answer.startswith((b'{"type":"reply"', b'{"type":"error"')):
                return answer
        return b""

    def _receive(self, seconds: float) -> bool:
        self.client.settimeout(seconds)
        data = b""
        with suppress(OSError):
            data = self.client.recv(1 << 16)
        frames, self._rest = split_frames(self._rest + data)
        for frame in frames:
            if frame.opcode == TEXT:
                self._texts.append(frame.payload)
            elif frame.opcode == PING:
                self.client.sendall(client_frame(PONG, frame.payload))
        return bool(data) and all(frame.opcode != CLOSE for frame in frames)
