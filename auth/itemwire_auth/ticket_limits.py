"""Bounds the tickets of one subject: how often it gets one, and how many are unused.

A ticket waits in the store with its caller's claims, up to 8 KiB of them, so that one caller could
fill the memory of an engine in seconds.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from itemwire_auth.errors import RateLimited
from itemwire_auth.principal import Identity

BURST_SECONDS: Final = 2.0
MAX_SUBJECTS: Final = 20_000  # some 10 MB; past it the one that asked least recently is forgotten

ROUNDING: Final = 1e-6  # seconds by which a sum of floating-point times may be off


@dataclass(frozen=True, slots=True)
class TicketLimits:
    """What one subject may have; 0 sets no limit."""

    rate: float = 0  # tickets a second, with bursts of two seconds' worth
    unused: int = 0  # tickets that were neither used on this node nor have expired


@dataclass(slots=True)
class _Allowance:
    """A subject's token bucket, as the moment at which it is full, and its unused tickets."""

    full_at: float = 0.0
    ends: list[float] = field(default_factory=list[float])  # a heap of the moments they expire


class TicketAllowances:
    """Counts the tickets of each subject on this node, in bounded memory."""

    def __init__(
        self, limits: TicketLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits or TicketLimits()
        self._clock = clock
        self._subjects: OrderedDict[Identity, _Allowance] = OrderedDict()

    def spend(self, identity: Identity, seconds: float) -> None:
        """Count a ticket that lives so long; raise RateLimited if its subject is past a limit."""
        if not (self._limits.rate or self._limits.unused):
            return
        now = self._clock()
        allowance = self._subjects.setdefault(identity, _Allowance())
        self._subjects.move_to_end(identity)
        if len(self._subjects) > MAX_SUBJECTS:
            self._subjects.popitem(last=False)
        cost = 1 / self._limits.rate if self._limits.rate else 0.0
        full_at = max(allowance.full_at, now) + cost
        if full_at > now + max(BURST_SECONDS, cost) + ROUNDING:
            raise RateLimited(f"{identity[1]!r} asked for tickets too often")
        if self._limits.unused:
            self._count(allowance, identity, now, seconds)
        allowance.full_at = full_at

    def _count(self, allowance: _Allowance, identity: Identity, now: float, seconds: float) -> None:
        ends = allowance.ends
        while ends and ends[0] <= now:
            heappop(ends)
        if len(ends) >= self._limits.unused:
            raise RateLimited(f"{identity[1]!r} has {len(ends)} unused tickets")
        heappush(ends, now + seconds)

    def release(self, identity: Identity) -> None:
        """Count one unused ticket less: it was used.

        Which one is not known. It counts as the one that expires first, so that the count is never
        too low.
        """
        allowance = self._subjects.get(identity)
        if allowance is not None and allowance.ends:
            heappop(allowance.ends)
