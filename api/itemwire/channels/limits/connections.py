"""How many connections there may be: of one address, of one subject, in all.

`handshake_rate.py` says how often they may come, and is asked here as well.

A place is taken before anything is awaited and given back once, when the socket is gone, however
that came about. So the counts are exact, and many who come at once cannot get past a limit.
"""

import sys
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, TypeVar

from itemwire.channels.limits.handshakes import HandshakeRate
from itemwire.close_reasons import CONNECTION_LIMIT, OVERLOADED, CloseReason
from itemwire_auth.addresses import Network, site_of
from itemwire_auth.principal import Identity

if sys.platform != "win32":
    import resource

K = TypeVar("K", bound=Hashable)

FEWEST_SPARE: Final = 32  # listeners, the engine, files, requests that are no sockets
MOST_SPARE: Final = 1024  # and sockets that were refused and are not gone yet


def _untold(_identity: Identity) -> None:
    """Tell nobody: there is no other node."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections may be open at the same time; 0 sets no limit."""

    total: int = 0
    per_address: int = 0
    per_subject: int = 0
    exempt: tuple[Network, ...] = ()  # addresses that are nobody's, as the throttle's


class ConnectionSlot:
    """One connection's part in the counts."""

    __slots__ = ("_identity", "_is_given_back", "_site", "_slots", "is_handed_over")

    def __init__(self, slots: "ConnectionSlots", site: str | None) -> None:
        self._slots = slots
        self._site = site
        self._identity: Identity | None = None
        self._is_given_back = False
        self.is_handed_over = False  # to the session, which lasts longer than the handshake

    def claim_for(self, identity: Identity) -> bool:
        """Count it as its subject's too, once that is known; False: that one has its share."""
        slots, limit = self._slots, self._slots.limits.per_subject
        if self._identity is not None or not limit:
            return True
        if slots.by_subject[identity] + slots.on_other_nodes[identity] >= limit:
            slots.refused["subject"] += 1
            return False
        self._identity = identity
        slots.by_subject[identity] += 1
        slots.on_change(identity)
        return True

    def release(self) -> None:
        """Let another have it. Giving it back twice is giving it back once."""
        if self._is_given_back:
            return
        self._is_given_back = True
        self._slots.in_use -= 1
        if self._site is not None:
            _forget_one(self._slots.by_address, self._site)
        if self._identity is not None:
            _forget_one(self._slots.by_subject, self._identity)
            self._slots.on_change(self._identity)


class ConnectionSlots:
    """The places of this node. Only what has a limit is counted, but for their number.

    `elsewhere` is how many sockets each subject has on other nodes, as far as these have told;
    `changed` is called with each subject whose number here is another one.
    """

    def __init__(
        self, limits: ConnectionLimits | None = None, handshake_rate: HandshakeRate | None = None
    ) -> None:
        self.limits = limits or ConnectionLimits()
        self.handshake_rate = handshake_rate or HandshakeRate()  # which by default refuses nobody
        self.in_use = 0
        self.by_address: Counter[str] = Counter()
        self.by_subject: Counter[Identity] = Counter()
        self.on_other_nodes: Counter[Identity] = Counter()
        self.on_change: Callable[[Identity], None] = _untold
        self.refused = {"all": 0, "address": 0, "subject": 0}  # so far

    def acquire(self, host: str | None) -> ConnectionSlot | CloseReason:
        """Take a place for who comes from an address, or tell why there is none."""
        too_often = self.handshake_rate.admit(host)
        if too_often is not None:
            return too_often
        limits = self.limits
        if limits.total and self.in_use >= limits.total:
            self.refused["all"] += 1
            return OVERLOADED
        site = site_of(host, limits.exempt) if host and limits.per_address else None
        if site is not None:
            if self.by_address[site] >= limits.per_address:
                self.refused["address"] += 1
                return CONNECTION_LIMIT
            self.by_address[site] += 1
        self.in_use += 1
        return ConnectionSlot(self, site)


def max_sockets() -> int:
    """Tell how many sockets this process has descriptors for, with some to spare; 0: any."""
    if sys.platform == "win32":
        return 0  # has no such limit
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return 0
    return max(files - min(max(files // 8, FEWEST_SPARE), MOST_SPARE), 1)


def _forget_one(counts: Counter[K], key: K) -> None:
    """Count one less; nobody's count is kept once it is nought."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
