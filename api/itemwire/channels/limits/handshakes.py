"""How often handshakes may come: from one address, and in total. Arithmetic, no timers.

An open socket costs little and a handshake much. When all clients reconnect at once, or one client
connects in a loop, the clients that are connected must not be slowed down by it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from itemwire.channels.limits.requests import BURST_SECONDS
from itemwire.close_reasons import OVERLOADED, RATE_LIMITED, CloseReason
from itemwire_auth.addresses import Caller, Network, shares_of, site_finder

MAX_ADDRESSES: Final = 20_000  # some 4 MB; past it the one that was seen least recently goes


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """Handshakes per second, with bursts of two seconds' worth; 0 sets no limit."""

    total: float = 0
    per_address: float = 0
    exempt: tuple[Network, ...] = ()  # shared addresses, such as a proxy's, have no limit


class HandshakeRate:
    """Token buckets of handshakes: one for each address, and one for all of them together.

    As in `requests.py`, a bucket is stored as the moment at which it will be full again.
    """

    def __init__(
        self, limits: HandshakeLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        limits = limits or HandshakeLimits()
        self._cost = 1 / limits.total if limits.total else 0.0
        self._address_cost = 1 / limits.per_address if limits.per_address else 0.0
        self._site_of = site_finder(limits.exempt)
        self._clock = clock
        self._full_at = 0.0
        self._by_address: OrderedDict[Caller, float] = OrderedDict()
        self.refused = {"rate": 0, "address_rate": 0}  # so far

    @property
    def tracked(self) -> int:
        """Return the number of addresses that have a bucket."""
        return len(self._by_address)

    def admit(self, host: str | None) -> CloseReason | None:
        """Count a handshake and return None, or return why to refuse it."""
        now = self._clock()
        site = self._site_of(host) if host and self._address_cost else None
        # Checked first: an address past its rate must not use up what all share.
        costs = [(key, self._address_cost / share) for key, share in shares_of(site)]
        if any(_is_empty(self._by_address.get(key, 0.0), cost, now) for key, cost in costs):
            self.refused["address_rate"] += 1
            return RATE_LIMITED
        if _is_empty(self._full_at, self._cost, now):
            self.refused["rate"] += 1
            return OVERLOADED
        self._full_at = max(self._full_at, now) + self._cost
        for key, cost in costs:
            self._by_address[key] = max(self._by_address.get(key, 0.0), now) + cost
            self._by_address.move_to_end(key)
        self._forget(now)
        return None

    def _forget(self, now: float) -> None:
        """Forget addresses whose buckets are full again, and the oldest ones past the maximum."""
        known = self._by_address
        while known and (len(known) > MAX_ADDRESSES or next(iter(known.values())) <= now):
            known.popitem(last=False)


def _is_empty(full_at: float, cost: float, now: float) -> bool:
    """Return whether a bucket is empty; a full one has a token, however slow its rate."""
    return full_at > now and full_at + cost > now + BURST_SECONDS
