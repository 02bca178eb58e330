"""Tickets without a rate (A8), and heads that a socket keeps (A9)."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from typing_extensions import override

from itemwire.bench.memory import memory_of
from tests.siege.attack import Attack, Outcome
from tests.siege.attacks.connections import padding
from tests.siege.door import Door, credential

STATUS: Final = re.compile(rb"HTTP/1\.1 (\d+) ")
AT_ONCE: Final = 20


class Tickets(Attack):
    """One caller makes tickets as fast as it can."""

    least: Final = 100  # more than a burst may be
    most: Final = 10_000

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        deadline, seen = time.monotonic() + seconds, Counter[int]()
        while seen.total() < self.least or (
            time.monotonic() < deadline and seen.total() < self.most
        ):
            seen += make_tickets(door, "attacker", AT_ONCE)
        other = make_tickets(door, "neighbour", 1)
        faults = []
        if not seen[429]:
            faults.append("one caller made tickets without a limit")
        if not other[200]:
            faults.append(f"another caller got no ticket: {dict(other)}")
        notes: dict[str, float] = {"tickets": seen[200], "refused": seen[429] + seen[503]}
        return Outcome(faults, accepted=seen.total() + 1, notes=notes)


def make_tickets(door: Door, subject: str, count: int) -> Counter[int]:
    """Ask for tickets in a pipeline; return how many answers had which status."""
    lines = ["POST /auth/tickets HTTP/1.1", "Host: a", credential(subject), "Content-Length: 0"]
    request = "\r\n".join([*lines, "", ""]).encode()
    received = b""
    with door.dial(request * count) as client:
        while len(found := STATUS.findall(received)) < count or not received.endswith(b"}"):
            data = client.recv(1 << 16)
            if not data:
                break
            received += data
    return Counter(map(int, found))


class PaddedSockets(Attack):
    """Opens sockets of many items with the largest heads, and sockets without, to compare."""

    count: Final = 100
    most_kib: Final = 16.0

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        with ExitStack() as stack:
            plain = self._open(door, stack, ())
            padded = self._open(door, stack, (padding(),))
        kib = (padded - plain) / self.count / 1024
        faults = [f"a socket kept {kib:.0f} KiB of its head"] if kib > self.most_kib else []
        notes = {"KiB a head": kib, "KiB a socket": plain / self.count / 1024}
        return Outcome(faults, accepted=2 * self.count, notes=notes)

    def _open(self, door: Door, stack: ExitStack, extra: Sequence[str]) -> int:
        """Open so many, and return the memory that they take."""
        before = memory_of(door.pid)
        for _ in range(self.count):
            wire = stack.enter_context(door.socket("/ws", "attacker", *extra))
            wire.send({"type": "ping", "ref": 1})
            wire.answer_to(1)
        return memory_of(door.pid) - before
