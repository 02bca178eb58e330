"""Connections that are kept open (A3, A7), and streams that come and go (A4)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from typing_extensions import override

from tests.fastpath.served import head
from tests.scenarios.clients import item_path
from tests.siege.attack import Attack, Outcome
from tests.siege.door import SPEAKS_JSON, Door, credential

CONNECTIONS: Final = 300
SETTLED_SECONDS: Final = 2.0  # until all have got in that can
LOOK_SECONDS: Final = 0.05
TRICKLE_SECONDS: Final = 0.4
KEPT_SECONDS: Final = 8.0  # uvicorn's five between two requests, and what its timers are late
LATE_SECONDS: Final = 16.0  # by then the server has ended each, on whatever machine

CLAIMED: Final = "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx"
UNSIZED: Final = "POST {} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"


@dataclass(frozen=True, slots=True)
class Trickle:
    """What a connection begins with, and what it is kept open with."""

    opening: bytes
    morsel: bytes


TRICKLES: Final = (
    Trickle(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n"),
    Trickle(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n"),
    Trickle(CLAIMED.format("/health/live").encode(), b"x"),
    Trickle(CLAIMED.format("/nowhere").encode(), b"x"),
    Trickle(CLAIMED.format("/items/42/messages").encode(), b"x"),
    Trickle(UNSIZED.format("/items/42/messages").encode(), b"1\r\nx\r\n"),
)
"""A line break behind a response, and bodies that nobody reads behind an early one."""


@dataclass(slots=True)
class Arrivals:
    """How many connections were answered, and how long they were kept from then on."""

    expected: int
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    count: int = 0
    kept: list[float] = field(default_factory=list)

    def note(self) -> None:
        """Count one."""
        self.count += 1
        if self.count >= self.expected:
            self.settled.set()


class Kept(Attack):
    """Keeps connections open with a little now and then, more than the server has descriptors."""

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        return asyncio.run(self._run(door))

    async def _run(self, door: Door) -> Outcome:
        arrivals = Arrivals(CONNECTIONS)
        end = time.monotonic() + LATE_SECONDS + SETTLED_SECONDS
        tasks = [
            asyncio.create_task(_trickle(door, TRICKLES[number % len(TRICKLES)], arrivals, end))
            for number in range(CONNECTIONS)
        ]
        outcome = await _newcomer_beside(door, arrivals, KEPT_SECONDS)
        await asyncio.gather(*tasks)
        late = sum(kept > LATE_SECONDS for kept in arrivals.kept)
        if late:
            outcome.faults.append(f"{late} connections were kept for over {LATE_SECONDS:g} s")
        outcome.notes["longest s"] = max(arrivals.kept, default=0.0)
        return outcome


async def _trickle(door: Door, trickle: Trickle, arrivals: Arrivals, end: float) -> None:
    """Have a connection answered, then keep it until the server ends it."""

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = time.monotonic()
        try:
            while time.monotonic() < end:
                writer.write(trickle.morsel)
                with suppress(TimeoutError):
                    async with asyncio.timeout(TRICKLE_SECONDS):
                        while await reader.read(1 << 16):
                            pass
                        return
        finally:
            arrivals.kept.append(time.monotonic() - answered)

    until = time.monotonic() + SETTLED_SECONDS
    while not await _connect(door, trickle.opening, arrivals, keep):
        if time.monotonic() > until:
            return
        await asyncio.sleep(LOOK_SECONDS)


class Lingering(Attack):
    """Has handshakes refused, and answers no close: more than the server has descriptors."""

    patience: Final = 5.0

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        return asyncio.run(self._run(door))

    async def _run(self, door: Door) -> Outcome:
        arrivals = Arrivals(CONNECTIONS)
        tasks = [asyncio.create_task(_linger(door, arrivals)) for _ in range(CONNECTIONS)]
        outcome = await _newcomer_beside(door, arrivals, self.patience)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return outcome


async def _linger(door: Door, arrivals: Arrivals) -> None:
    async def stay(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):  # the close frame; nothing answers it
            pass

    await _connect(door, head("/items/42/ws"), arrivals, stay)


Stay = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _connect(door: Door, opening: bytes, arrivals: Arrivals, stay: Stay) -> bool:
    """Send and have it answered, then stay; return whether it was answered."""
    is_answered = False
    try:
        reader, writer = await asyncio.open_connection(door.host, door.port)
        try:
            writer.write(opening)
            await reader.readuntil(b"\r\n\r\n")
            arrivals.note()
            is_answered = True
            await stay(reader, writer)
        finally:
            writer.transport.abort()
    except (OSError, asyncio.IncompleteReadError):
        pass  # no descriptor was left for it, or the server has ended it
    return is_answered


async def _newcomer_beside(door: Door, arrivals: Arrivals, patience: float) -> Outcome:
    """Let all come that can, then measure how long one who is welcome waits to be let in."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_SECONDS):
            await arrivals.settled.wait()
    began = time.monotonic()
    outcome = Outcome()
    try:
        async with asyncio.timeout(patience):
            while not await _is_welcomed(door):  # noqa: ASYNC110 - asked of another process
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        outcome.faults.append(f"a newcomer was not let in within {patience:g} s")
    outcome.notes["newcomer s"] = time.monotonic() - began
    return outcome


async def _is_welcomed(door: Door) -> bool:
    writer = None
    try:
        reader, writer = await asyncio.open_connection(door.host, door.port)
        writer.write(head(item_path("newcomer"), SPEAKS_JSON, credential("newcomer")))
        await reader.readuntil(b'"welcome"')
    except (OSError, asyncio.IncompleteReadError):
        return False
    finally:
        if writer is not None:
            writer.transport.abort()
    return True


class Streams(Attack):
    """Opens and closes streams of events, with the largest heads; 20 are open at a time."""

    count: Final = 400
    at_once: Final = 20

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        lines = ["GET /items/42/events HTTP/1.1", "Host: a", credential(), padding()]
        opening = "\r\n".join([*lines, "", ""]).encode()
        return asyncio.run(self._run(door, opening))

    async def _run(self, door: Door, opening: bytes) -> Outcome:
        visits = [_visit(door, opening) for _ in range(self.count)]
        answers: list[bytes] = []
        for start in range(0, self.count, self.at_once):
            answers += await asyncio.gather(*visits[start : start + self.at_once])
        bad = [answer for answer in answers if not answer.startswith(b"HTTP/1.1 200 ")]
        faults = [f"a stream was refused: {bad[0][:40]!r}"] if bad else []
        return Outcome(faults, accepted=len(answers) - len(bad))


async def _visit(door: Door, opening: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(door.host, door.port)
    try:
        writer.write(opening)
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()


def padding(size: int = 57 * 1024) -> str:
    """Write a header that makes a head as large as one may be, and that nobody looks at."""
    return f"X-Padding: {'x' * size}"
