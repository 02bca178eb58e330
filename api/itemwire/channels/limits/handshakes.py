"""How often somebody may come: from one address, and in all. Arithmetic, no timers.

An open socket costs little and a handshake much. When everybody comes back at once, or one client
connects in a loop, those who are served already must not wait for it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from itemwire.channels.limits.requests import BURST_SECONDS
from itemwire.close_reasons import OVERLOADED, RATE_LIMITED, CloseReason
from itemwire_auth.addresses import Caller, Network, shares_of, site_of

MAX_COUNTED: Final = 20_000  # addresses, some 4 MB; past it the one longest not seen is forgotten


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """How many handshakes a second are taken on, two seconds' worth at once; 0 sets no limit."""

    total: float = 0
    per_address: float = 0
    exempt: tuple[Network, ...] = ()  # addresses that are nobody's, as the throttle's


class HandshakeRate:
    """Counts who comes. As in `rates`, a bucket is the moment at which it will be full again."""

    def __init__(
        self, limits: HandshakeLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        limits = limits or HandshakeLimits()
        self._cost = 1 / limits.total if limits.total else 0.0
        self._cost_of_address = 1 / limits.per_address if limits.per_address else 0.0
        self._exempt = limits.exempt
        self._clock = clock
        self._full_at = 0.0
        self._of_address: OrderedDict[Caller, float] = OrderedDict()
        self.refused = {"rate": 0, "address_rate": 0}  # so far

    @property
    def tracked(self) -> int:
        """Count the addresses that are remembered."""
        return len(self._of_address)

    def admit(self, host: str | None) -> CloseReason | None:
        """Take on who comes from an address, or tell why not; who is refused takes nothing."""
        now = self._clock()
        site = site_of(host, self._exempt) if host and self._cost_of_address else None
        # First: one that comes too often must not use up what is everybody's.
        shares = [(of, self._cost_of_address / share) for of, share in shares_of(site)]
        if any(_is_empty(self._of_address.get(of, 0.0), cost, now) for of, cost in shares):
            self.refused["address_rate"] += 1
            return RATE_LIMITED
        if _is_empty(self._full_at, self._cost, now):
            self.refused["rate"] += 1
            return OVERLOADED
        self._full_at = max(self._full_at, now) + self._cost
        for of, cost in shares:
            self._of_address[of] = max(self._of_address.get(of, 0.0), now) + cost
            self._of_address.move_to_end(of)
        self._forget(now)
        return None

    def _forget(self, now: float) -> None:
        """Forget who has been gone long enough to be as good as new, and whoever is too many."""
        known = self._of_address
        while known and (len(known) > MAX_COUNTED or next(iter(known.values())) <= now):
            known.popitem(last=False)


def _is_empty(full_at: float, cost: float, now: float) -> bool:
    """Tell whether no more can be taken; a full bucket gives one, however slowly it fills."""
    return full_at > now and full_at + cost > now + BURST_SECONDS
