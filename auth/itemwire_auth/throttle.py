"""Slows strangers down: counts refusals, answers late past a number, and then not at all.

Two thresholds, in refusals a minute. Past the first, refusals are answered late; past the second,
nobody of that address is let in and no token is looked at until the count has fallen. So a guess
costs a stranger a second, and a flood of them costs the server next to nothing, while good
credentials from the same address get in as long as the second is not reached.

Who is known is counted by name and not by address: an office shares one. Counts decay, so there is
no moment at which a stranger may begin anew.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from itemwire_auth.errors import AuthError, NotNow, RateLimited
from itemwire_auth.principal import Identity

MINUTE: Final = 60.0
MAX_COUNTED: Final = 20_000  # about 5 MB; past it the one longest not refused is forgotten
MAX_WAITING: Final = 256  # refusals that wait; one more is answered at once, and is counted too
SHORTEST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 1.0
LONGEST_NAME: Final = 64  # characters of a caller that has no address
SITE_PREFIX: Final = 64  # bits of an IPv6 address: the rest is its owner's (RFC 4291 2.5.1)
BLOCK_PREFIX: Final = 48  # what one site may be given (RFC 6177): 65,536 of these
BLOCK_SHARE: Final = 16  # times as much as one of them: a carrier gives each phone its own

Network = IPv4Network | IPv6Network
Caller = str | Identity


@dataclass(frozen=True, slots=True)
class ThrottleRules:
    """How many refusals a minute are too many; 0 is no limit."""

    slow_after: int = 0
    stop_after: int = 0
    exempt: tuple[Network, ...] = ()


@dataclass(slots=True)
class _Count:
    """Refusals a minute, as they were at a moment."""

    value: float
    at: float

    def now(self, now: float) -> float:
        """Let the count decay; refused steadily n times a minute, it comes to n."""
        return self.value * math.exp((self.at - now) / MINUTE)


class Throttle:
    """Counts refusals by address, and by identity of those who are known, in bounded memory.

    `counted`, `held_back` and `stopped` tell how many there were since it was made.
    """

    def __init__(
        self,
        rules: ThrottleRules | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._rules = rules or ThrottleRules()
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
        """Tell that nobody was refused yet, so that nothing needs to be computed."""
        return not self._counts

    def caller(self, host: str | None, identity: Identity | None = None) -> Caller | None:
        """Give what a caller is counted by; None if this one never is."""
        if identity is not None:
            return identity
        return site_of(host, self._rules.exempt) if host else None

    def check(self, caller: Caller | None) -> None:
        """Refuse a caller that has been refused too often."""
        limit = self._rules.stop_after
        if self._reaches(limit, caller):
            self.stopped += 1
            raise RateLimited(f"{caller!r} was refused {limit} times a minute")

    def count(self, caller: Caller | None, error: AuthError) -> None:
        """Count a refusal, unless it was for a reason of ours."""
        # Nor for having come too often: who goes on trying would be shut out for ever, and with
        # it all who share its address.
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
        """Let a refusal wait, if its caller has had many."""
        if self._waiting >= MAX_WAITING or not self._reaches(self._rules.slow_after, caller):
            return
        self._waiting += 1
        self.held_back += 1
        try:
            # At random, so that the wait tells nothing of what was found wrong.
            spread = LONGEST_WAIT - SHORTEST_WAIT
            await self._pause(SHORTEST_WAIT + spread * self._jitter())
        finally:
            self._waiting -= 1

    def _count(self, caller: Caller) -> float:
        known = self._counts.get(caller)
        return known.now(self._clock()) if known else 0

    def _reaches(self, limit: int, caller: Caller | None) -> bool:
        # Less one: of 60 at once, a little has decayed when the last one is counted.
        return limit > 0 and any(
            self._count(one) > limit * share - 1 for one, share in shares_of(caller)
        )


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read addresses and networks; ValueError says which is none."""
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"ITEMWIRE_THROTTLE_EXEMPT: {error}; write 192.0.2.0/24 or ::1") from None


def site_of(host: str, exempt: tuple[Network, ...]) -> str | None:
    """Give the address to count by: of IPv6, the part that a stranger cannot choose."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        # A server that names its peers in a way of its own, or a proxy that lets clients do so.
        return host[:LONGEST_NAME]
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in exempt):
        return None
    if isinstance(address, IPv6Address):
        return str(ip_network((address, SITE_PREFIX), strict=False))
    return str(address)


def shares_of(caller: Caller | None) -> Iterator[tuple[Caller, int]]:
    """Give all that a caller is counted by, each with how many times the limit is its own.

    An address of IPv6 is also its block's: who has that has as many addresses as anybody counts.
    """
    if caller is None:
        return
    yield caller, 1
    if isinstance(caller, str) and caller.endswith(f"/{SITE_PREFIX}"):
        try:
            block = ip_network((caller.partition("/")[0], BLOCK_PREFIX), strict=False)
        except ValueError:  # a name that only looks like one
            return
        yield str(block), BLOCK_SHARE
