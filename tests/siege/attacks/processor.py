"""Requests that are dear to judge (A5), and a message in many fragments (A6)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Final

from typing_extensions import override
from websockets.frames import Opcode

from itemwire.bench.frames import MASKED
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint
from tests.fastpath.served import head
from tests.siege.attack import Attack, Outcome
from tests.siege.door import Door, Wire
from tests.siege.figures import cpu_seconds

LEAST_VISITS: Final = 20
MOST_VISITS: Final = 300
REFUSED_BYTES: Final = 4  # of the close frame behind a 101
FRAGMENT_BYTES: Final = 64
LARGE: Final = 2 << 20
SMALL: Final = 128 << 10
NO_MASK: Final = bytes(4)

_numbers: Final = itertools.count()
_other: Final = signing_key_from_secret("a secret that is not this server's, 48 bytes long")


def bad_signatures() -> Iterator[bytes]:
    """Make handshakes with tokens that are whole but for the signature.

    Each is another, from an address of its own: none is known, and none is stopped.
    """
    for number in _numbers:
        address = f"198.18.{number // 250 % 250}.{number % 250}"
        bad = mint(_other, subject=f"stranger{number}", scope="items:subscribe", lifetime=300)
        yield head(f"/items/42/ws?token={bad}", f"X-Forwarded-For: {address}")


class Costly(Attack):
    """Repeats one request, and compares its CPU time with a handshake with a bad signature."""

    def __init__(
        self, path: str, *headers: str, stopped_address: str = "", is_http: bool = False
    ) -> None:
        """An address is refused so often, ahead of the rounds, that the server stops it."""
        own = [f"X-Forwarded-For: {stopped_address}"] if stopped_address else []
        self._request = _get(path, headers) if is_http else head(path, *headers, *own)
        self._stopped = head("/items/42/ws?token=garbage", *own) if stopped_address else None

    @override
    def prepare(self, door: Door) -> None:
        for _ in range(LEAST_VISITS if self._stopped else 0):
            visit(door, self._stopped or b"")

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        cheap = cost(door, bad_signatures(), seconds / 2)
        dear = cost(door, itertools.repeat(self._request), seconds)
        notes = {"us a request": dear * 1e6, "us a bad signature": cheap * 1e6}
        return Outcome(cpu_ratio=dear / cheap, notes=notes)


def _get(path: str, headers: Sequence[str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: a", *headers, "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode()


def cost(door: Door, requests: Iterator[bytes], seconds: float) -> float:
    """Return the CPU seconds that the server takes for a request."""
    visit(door, next(requests))
    began, deadline, count = cpu_seconds(door.pid), time.monotonic() + seconds, 0
    while count < LEAST_VISITS or (count < MOST_VISITS and time.monotonic() < deadline):
        visit(door, next(requests))
        count += 1
    return (cpu_seconds(door.pid) - began) / count


def visit(door: Door, request: bytes) -> None:
    """Send a request and have it refused."""
    received = b""
    with door.dial(request) as client:
        while not _is_refused(received):
            data = client.recv(1 << 16)
            if not data:
                break
            received += data


def _is_refused(received: bytes) -> bool:
    answer, end, rest = received.partition(b"\r\n\r\n")
    if not answer.startswith(b"HTTP/1.1 101 "):
        return bool(end)
    return len(rest) >= REFUSED_BYTES


class Fragments(Attack):
    """Sends a message in fragments of 64 bytes: twice as many must cost twice as much."""

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        with door.socket("/items/42/ws") as wire:
            small = [_message_cost(door, wire, SMALL) for _ in range(3)]
            large = _message_cost(door, wire, LARGE)
        ratio = large / (min(small) * LARGE / SMALL)
        return Outcome(cpu_ratio=ratio, notes={"ms a message": large * 1000})


def _message_cost(door: Door, wire: Wire, size: int) -> float:
    """Send one that is refused for what is in it, so that nothing of it is stored."""
    began = cpu_seconds(door.pid)
    wire.client.settimeout(30)
    wire.client.sendall(fragmented(b"{" + b" " * (size - 1)))
    while (answer := wire.read(30)) is not None and answer["type"] != "error":
        pass
    if answer is None:
        raise ConnectionError
    return cpu_seconds(door.pid) - began


def fragmented(payload: bytes) -> bytes:
    """Write a text message in many frames."""
    pieces = [
        payload[start : start + FRAGMENT_BYTES] for start in range(0, len(payload), FRAGMENT_BYTES)
    ]
    frames = bytearray()
    for number, piece in enumerate(pieces):
        opcode = Opcode.CONT if number else Opcode.TEXT
        is_last = number == len(pieces) - 1
        frames += bytes((is_last << 7 | opcode, MASKED | len(piece))) + NO_MASK + piece
    return bytes(frames)
