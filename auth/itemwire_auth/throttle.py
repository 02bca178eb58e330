"""Slows down callers that are refused often, and then refuses them without a check.

There are two thresholds, in refusals a minute. Above the first, refusals are delayed. Above the
second, every caller at that address is refused before its token is read, until the count has
fallen. So a guess costs a stranger a second, and a flood of guesses costs the server next to
nothing; good credentials from the same address are accepted until the second threshold.

A verified caller is counted by identity and not by address, because an office shares one address.
Counts decay steadily, so there is no moment at which a stranger starts again from zero.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from itemwire_auth.addresses import Caller, Network, shares_of, site_finder
from itemwire_auth.errors import AuthError, NotNow, RateLimited
from itemwire_auth.principal import Identity

MINUTE: Final = 60.0
MAX_COUNTED: Final = 20_000  # about 5 MB; beyond it the caller refused longest ago is forgotten
MAX_WAITING: Final = 256  # delayed refusals; one more is answered at once, and counted as well
SHORTEST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 1.0


@dataclass(frozen=True, slots=True)
class ThrottleRules:
    """How many refusals a minute are too many; 0 is no limit."""

    slow_after: int = 0
    stop_after: int = 0
    exempt: tuple[Network, ...] = ()


@dataclass(slots=True)
class _Count:
    """Refusals a minute at some moment; the value decays exponentially from then on."""

    value: float
    at: float

    def now(self, now: float) -> float:
        """Return the decayed count: for a caller refused steadily n times a minute it nears n."""
        return self.value * math.exp((self.at - now) / MINUTE)


class Throttle:
    """Counts refusals by address, or by identity of verified callers, in bounded memory.

    `counted`, `held_back` and `stopped` are totals since it was made.
    """

    def __init__(
        self,
        rules: ThrottleRules | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._rules = rules or ThrottleRules()
        self._site_of = site_finder(self._rules.exempt)
        self._clock = clock
        self._jitter = jitter
        self._pause = pause
        self._counts: OrderedDict[Caller, _Count] = OrderedDict()
        self._waiting = 0
        self.counted = 0
        self.held_back = 0
        self.stopped = 0

    @property
    def is_calm(self) -> bool:
        """Return whether nobody was refused yet: then no caller needs to be looked up."""
        return not self._counts

    def caller(self, host: str | None, identity: Identity | None = None) -> Caller | None:
        """Return what a caller is counted by; None if it is exempt or has no address."""
        if identity is not None:
            return identity
        return self._site_of(host) if host else None

    def check(self, caller: Caller | None) -> None:
        """Raise RateLimited for a caller that has been refused too often."""
        limit = self._rules.stop_after
        if self._reaches(limit, caller):
            self.stopped += 1
            raise RateLimited(f"{caller!r} was refused {limit} times a minute")

    def count(self, caller: Caller | None, error: AuthError) -> None:
        """Count a refusal, unless its reason is not the caller's fault."""
        # Being stopped here is not counted either: a caller that goes on trying would be shut out
        # for ever, and with it everybody at its address.
        is_off = not (self._rules.slow_after or self._rules.stop_after)
        if caller is None or is_off or isinstance(error, NotNow):
            return
        self.counted += 1
        for one, _ in shares_of(caller):
            self._counts[one] = _Count(self._count(one) + 1, self._clock())
            self._counts.move_to_end(one)
        while len(self._counts) > MAX_COUNTED:
            self._counts.popitem(last=False)

    async def hold_back(self, caller: Caller | None) -> None:
        """Wait up to a second before a refusal is told, if its caller has had many."""
        if self._waiting >= MAX_WAITING or not self._reaches(self._rules.slow_after, caller):
            return
        self._waiting += 1
        self.held_back += 1
        try:
            # A random time, so that the delay does not reveal what was found wrong.
            spread = LONGEST_WAIT - SHORTEST_WAIT
            await self._pause(SHORTEST_WAIT + spread * self._jitter())
        finally:
            self._waiting -= 1

    def _count(self, caller: Caller) -> float:
        known = self._counts.get(caller)
        return known.now(self._clock()) if known else 0

    def _reaches(self, limit: int, caller: Caller | None) -> bool:
        # Less one: of 60 refusals at once, a little has decayed before the last is counted.
        return limit > 0 and any(
            self._count(one) > limit * share - 1 for one, share in shares_of(caller)
        )
